%% SPDX-License-Identifier: MIT
%%
%% Messages between processes that stay.  A mailbox has no bound; where the workload wants one (_b) the receiver gives its
%% senders credit, 1024 messages in all.
-module(messages).
-export([
    pingpong/1, pingpong_pairs/1, threadring/1,
    counting_b/1, counting_u/1, many_to_one_b/1, many_to_one_u/1,
    fj_throughput_b/1, fj_throughput_u/1, big/1
]).

-define(ROOM, 1024).

%% ---- pingpong: pairs throw a ball back and forth; it says how many throws are left ----

pingpong(Scale) -> play(1, 2 * bench:scaled(2000000, Scale)).

pingpong_pairs(Scale) -> play(64, 2 * bench:scaled(100000, Scale)).

play(Pairs, Throws) ->
    Main = self(),
    Servers = [spawn_pair(Main) || _ <- lists:seq(1, Pairs)],
    {Ns, Caught} = bench:timed(fun() ->
        [Server ! {serve, Throws} || Server <- Servers],
        bench:collect(2 * Pairs)
    end),
    bench:check(balls_caught, Caught, Pairs * Throws),
    {Pairs * Throws, Ns, ""}.

spawn_pair(Main) ->
    Partner = spawn(fun() -> player(Main, 0) end),
    spawn(fun() ->
        receive
            {serve, Throws} -> Partner ! {ball, self(), Throws - 1}
        end,
        player(Main, 0)
    end).

player(Main, Caught) ->
    receive
        {ball, From, 0} ->
            From ! over,
            Main ! {done, Caught + 1};
        {ball, From, Left} ->
            From ! {ball, self(), Left - 1},
            player(Main, Caught + 1);
        over ->
            Main ! {done, Caught}
    end.

%% ---- threadring: one token goes round 1000 processes ----

threadring(Scale) ->
    Hops = bench:scaled(5000000, Scale),
    Main = self(),
    Last = spawn(fun() ->
        receive
            {next, Next} -> member(Next, Main, 0)
        end
    end),
    First = lists:foldl(
        fun(_, Next) -> spawn(fun() -> member(Next, Main, 0) end) end, Last, lists:seq(2, 1000)
    ),
    Last ! {next, First},
    {Ns, _} = bench:timed(fun() ->
        First ! {token, Hops - 1},
        receive
            over -> ok
        end
    end),
    First ! {count, 1000},
    bench:check(hops, bench:collect(1000), Hops),
    {Hops, Ns, ""}.

member(Next, Main, Passed) ->
    receive
        {token, 0} ->
            Main ! over,
            member(Next, Main, Passed + 1);
        {token, Left} ->
            Next ! {token, Left - 1},
            member(Next, Main, Passed + 1);
        {count, Members} ->
            Members > 1 andalso (Next ! {count, Members - 1}),
            Main ! {done, Passed}
    end.

%% ---- counting and many_to_one: producers send 1, 2, 3 and so on to one consumer ----

counting_b(Scale) -> flood(1, bench:scaled(10000000, Scale), ?ROOM).

counting_u(Scale) -> flood(1, bench:scaled(10000000, Scale), infinity).

many_to_one_b(Scale) -> flood(16, bench:scaled(10000000, Scale), ?ROOM div 16).

many_to_one_u(Scale) -> flood(16, bench:scaled(10000000, Scale), infinity).

flood(Producers, Total, Room) ->
    Each = max(1, Total div Producers),
    Main = self(),
    Consumer = spawn(fun() -> consumer(Each * Producers, 0, Main) end),
    {Ns, Sum} = bench:timed(fun() ->
        [spawn(fun() -> producer(Consumer, 1, Each, Room, Room) end) || _ <- lists:seq(1, Producers)],
        bench:collect(1)
    end),
    bench:check(sum_of_the_numbers, Sum, Each * (Each + 1) div 2 * Producers),
    {Each * Producers, Ns, ""}.

consumer(0, Sum, Main) ->
    Main ! {done, Sum};
consumer(Left, Sum, Main) ->
    receive
        {more, From} ->
            From ! more,
            consumer(Left, Sum, Main);
        Number ->
            consumer(Left - 1, Sum + Number, Main)
    end.

%% Half of the room is asked for again when the other half is about to be used.
producer(_Consumer, Number, Last, _Credit, _Room) when Number > Last ->
    ok;
producer(Consumer, Number, Last, infinity, infinity) ->
    Consumer ! Number,
    producer(Consumer, Number + 1, Last, infinity, infinity);
producer(Consumer, Number, Last, 0, Room) ->
    receive
        more -> producer(Consumer, Number, Last, Room div 2, Room)
    end;
producer(Consumer, Number, Last, Credit, Room) ->
    Consumer ! Number,
    Number rem (Room div 2) =:= 0 andalso (Consumer ! {more, self()}),
    producer(Consumer, Number + 1, Last, Credit - 1, Room).

%% ---- fj_throughput: one sends to 64 in turn ----

fj_throughput_b(Scale) -> fj_throughput(bench:scaled(100000, Scale), ?ROOM).

fj_throughput_u(Scale) -> fj_throughput(bench:scaled(100000, Scale), infinity).

fj_throughput(Each, Room) ->
    Main = self(),
    Members = [spawn(fun() -> consumer(Each, 0, Main) end) || _ <- lists:seq(1, 64)],
    {Ns, Sum} = bench:timed(fun() ->
        spawn(fun() -> deal(Members, 1, Each, Room, Room) end),
        bench:collect(64)
    end),
    bench:check(sum_of_the_numbers, Sum, 64 * Each * (Each + 1) div 2),
    {64 * Each, Ns, ""}.

%% The members get the same, so one count of credit is good for all: the slowest answer is waited for.
deal(_Members, Number, Last, _Credit, _Room) when Number > Last ->
    ok;
deal(Members, Number, Last, 0, Room) ->
    [receive more -> ok end || _ <- Members],
    deal(Members, Number, Last, Room div 2, Room);
deal(Members, Number, Last, Credit, Room) ->
    [Member ! Number || Member <- Members],
    is_integer(Room) andalso Number rem (Room div 2) =:= 0 andalso
        [Member ! {more, self()} || Member <- Members],
    deal(Members, Number + 1, Last, less(Credit), Room).

less(infinity) -> infinity;
less(Credit) -> Credit - 1.

%% ---- big: 64 processes, each pings a random other one, and the next when the pong is there ----

big(Scale) ->
    Pings = bench:scaled(20000, Scale),
    Main = self(),
    Members = [spawn(fun() -> big_init(Id, Pings, Main) end) || Id <- lists:seq(1, 64)],
    Others = list_to_tuple(Members),
    {Ns, _} = bench:timed(fun() ->
        [Member ! {others, Others} || Member <- Members],
        bench:collect(64)
    end),
    [Member ! count || Member <- Members],
    bench:check(pings_served, bench:collect(64), 64 * Pings),
    {2 * 64 * Pings, Ns, ""}.

big_init(Id, Pings, Main) ->
    receive
        {others, Others} ->
            rand:seed(exsss, Id),
            big_ping(Id, Others),
            big_loop(Id, Others, Pings, 0, Main)
    end.

big_ping(Id, Others) ->
    Draw = rand:uniform(63),
    Other = if Draw >= Id -> Draw + 1; true -> Draw end,
    element(Other, Others) ! {ping, self()}.

big_loop(Id, Others, Left, Served, Main) ->
    receive
        {ping, From} ->
            From ! pong,
            big_loop(Id, Others, Left, Served + 1, Main);
        pong when Left =:= 1 ->
            Main ! {done, 0},
            big_loop(Id, Others, 0, Served, Main);
        pong ->
            big_ping(Id, Others),
            big_loop(Id, Others, Left - 1, Served, Main);
        count ->
            Main ! {done, Served}
    end.
