%% SPDX-License-Identifier: MIT
%%
%% A supervised child whose init sends itself a message, at which it fails: its supervisor starts the next one.
%%
%% OTP's supervisor keeps a stamp of each restart in its period and walks through all of them at each restart.  `restart`
%% spares it that, with a fresh supervisor after 500; `restart_long` is one supervisor.  Nothing is logged.
-module(restart).
-behaviour(supervisor).
-export([restart/1, restart_long/1]).
-export([init/1, start_child/1]).

-define(FRESH, 500).

restart(Scale) -> restarts(bench:scaled(200000, Scale), ?FRESH).

restart_long(Scale) -> restarts(bench:scaled(200000, Scale), infinity).

restarts(Count, Fresh) ->
    ok = logger:set_primary_config(level, none),
    process_flag(trap_exit, true),
    {Ns, Lives} = bench:timed(fun() -> supervise(Count, Fresh, 0) end),
    bench:check(lives, Lives, Count),
    {Count, Ns, ""}.

supervise(0, _Fresh, Lives) ->
    Lives;
supervise(Left, Fresh, Lives) ->
    Count = min(Left, Fresh),
    Done = counters:new(1, []),
    {ok, Supervisor} = supervisor:start_link(?MODULE, {self(), Done, Count}),
    receive
        {rest, Child} -> ok
    end,
    Ended = counters:get(Done, 1),
    Child ! stop,
    exit(Supervisor, shutdown),
    receive
        {'EXIT', Supervisor, _} -> ok
    end,
    supervise(Left - Count, Fresh, Lives + Ended).

init({Main, Done, Count}) ->
    Flags = #{strategy => one_for_one, intensity => Count + 1, period => 3600},
    {ok, {Flags, [#{id => child, start => {?MODULE, start_child, [{Main, Done, Count}]}}]}}.

start_child(Arg) ->
    proc_lib:start_link(erlang, apply, [fun child/1, [Arg]]).

%% The one after the last failure stays, and says so.
child({Main, Done, Count}) ->
    self() ! go,
    proc_lib:init_ack({ok, self()}),
    receive
        go -> ok
    end,
    case counters:get(Done, 1) of
        Count ->
            Main ! {rest, self()},
            receive
                stop -> ok
            end;
        _ ->
            counters:add(Done, 1, 1),
            exit(failed)
    end.
