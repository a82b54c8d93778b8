%% SPDX-License-Identifier: MIT
%%
%% Processes that are spawned in numbers.
-module(lives).
-export([fj_create/1, idle_memory/1, skynet/1, steal/1]).

%% A process that spawns `Count` others and sends each one message; over when each has done its part.
crowd(Count, Member) ->
    Main = self(),
    Left = atomics:new(1, []),
    atomics:put(Left, 1, Count),
    Done = fun() ->
        atomics:sub_get(Left, 1, 1) =:= 0 andalso (Main ! over)
    end,
    spawn(fun() -> spawn_members(Count, fun() -> Member(Done) end) end),
    receive
        over -> ok
    end.

spawn_members(0, _Member) ->
    ok;
spawn_members(Count, Member) ->
    spawn(Member) ! job,
    spawn_members(Count - 1, Member).

%% ---- fj_create: processes that are spawned, get one message and end ----

fj_create(Scale) ->
    Lives = bench:scaled(1000000, Scale),
    {Ns, ok} = bench:timed(fun() ->
        crowd(Lives, fun(Done) ->
            receive
                job -> Done()
            end
        end)
    end),
    {Lives, Ns, ""}.

%% ---- idle_memory: processes that have got one message and wait for the next ----

idle_memory(Scale) ->
    Members = bench:scaled(1000000, Scale),
    Before = bench:resident_bytes(),
    {Ns, ok} = bench:timed(fun() -> crowd(Members, fun idler/1) end),
    After = bench:resident_bytes(),
    Alive = erlang:system_info(process_count),
    Alive >= Members orelse error({processes_alive, Alive, expected, Members}),
    {Members, Ns, io_lib:format(" bytes_per_actor=~.1f", [(After - Before) / Members])}.

idler(Done) ->
    receive
        job -> Done()
    end,
    idler(Done).

%% ---- skynet: a tree of processes, ten children each, whose leaves are numbered and summed up ----

skynet(Scale) ->
    {Leaves, Actors} = skynet_size(10, 11, bench:scaled(1000000, Scale)),
    {Ns, Sum} = bench:timed(fun() ->
        Main = self(),
        spawn(fun() -> node(Main, 0, Leaves) end),
        bench:collect(1)
    end),
    bench:check(sum_of_the_leaves, Sum, Leaves * (Leaves - 1) div 2),
    {Actors, Ns, ""}.

skynet_size(Leaves, Actors, Most) when Leaves * 10 =< Most ->
    skynet_size(Leaves * 10, Actors + Leaves * 10, Most);
skynet_size(Leaves, Actors, _Most) ->
    {Leaves, Actors}.

node(Parent, Number, 1) ->
    Parent ! {done, Number};
node(Parent, Number, Leaves) ->
    Me = self(),
    Share = Leaves div 10,
    [spawn(fun() -> node(Me, Number + I * Share, Share) end) || I <- lists:seq(0, 9)],
    Parent ! {done, bench:collect(10)}.

%% ---- steal: one process spawns many jobs of 20 us ----

-define(JOB_NS, 20000).
-define(CALIBRATION_STEPS, 2000000).

steal(Scale) ->
    Jobs = bench:scaled(100000, Scale),
    Steps = job_steps(),
    {Ns, ok} = bench:timed(fun() ->
        crowd(Jobs, fun(Done) ->
            receive
                job ->
                    work(Steps, 1),
                    Done()
            end
        end)
    end),
    Lanes = min(erlang:system_info(logical_processors_online), erlang:system_info(schedulers_online)),
    {Jobs, Ns, io_lib:format(" efficiency=~.3f", [Jobs * ?JOB_NS / Lanes / Ns])}.

%% How many steps take JOB_NS; the fastest of 20 tries is believed.
job_steps() ->
    Best = lists:min([
        element(1, bench:timed(fun() -> work(?CALIBRATION_STEPS, 1) end))
     || _ <- lists:seq(1, 20)
    ]),
    ?JOB_NS * ?CALIBRATION_STEPS div Best.

work(0, X) -> X;
work(Steps, X) -> work(Steps - 1, (X * 1103515245 + 12345) band 16#7fffffff).
