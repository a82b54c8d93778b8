%% SPDX-License-Identifier: MIT
%%
%% From the Savina suite: calls are references and selective receives, as gen_server's are, or plain messages.
-module(savina).
-export([
    chameneos/1, bank/1, dictionary/1, logistic_map/1, radix_sort/1, sieve/1,
    philosophers/1, bounded_buffer/1, queens/1
]).

%% ---- chameneos: 100 creatures meet in pairs at one mall, and change their colours ----

-define(CREATURES, 100).

chameneos(Scale) ->
    Meetings = bench:scaled(1000000, Scale),
    Main = self(),
    Mall = spawn(fun() -> mall(Meetings, Main) end),
    {Ns, Creatures} = bench:timed(fun() ->
        [spawn(fun() -> creature_init(I rem 3, Mall, Main) end) || I <- lists:seq(1, ?CREATURES)],
        receive
            {over, Pids} -> Pids
        end
    end),
    [Creature ! over || Creature <- Creatures],
    bench:check(meetings_of_the_creatures, bench:collect(?CREATURES), 2 * Meetings),
    {4 * Meetings, Ns, ""}.

mall(0, Main) ->
    Main ! {over, [receive {meet, From, _} -> From end || _ <- lists:seq(1, ?CREATURES)]};
mall(Left, Main) ->
    receive
        {meet, First, _} ->
            receive
                {meet, _, _} = Second -> First ! Second
            end
    end,
    mall(Left - 1, Main).

creature_init(Colour, Mall, Main) ->
    Mall ! {meet, self(), Colour},
    creature(Colour, Mall, Main, 0).

creature(Colour, Mall, Main, Meetings) ->
    receive
        {meet, Other, OtherColour} ->
            New = complement(Colour, OtherColour),
            Other ! {change, New},
            Mall ! {meet, self(), New},
            creature(New, Mall, Main, Meetings + 1);
        {change, New} ->
            Mall ! {meet, self(), New},
            creature(New, Mall, Main, Meetings + 1);
        over ->
            Main ! {done, Meetings}
    end.

complement(Same, Same) -> Same;
complement(A, B) -> 3 - A - B.

%% ---- bank: a teller has 1000 accounts transfer money to each other, 1000 at a time ----

-define(ACCOUNTS, 1000).
-define(UNDER_WAY, 1000).

bank(Scale) ->
    Transfers = bench:scaled(500000, Scale),
    Main = self(),
    Accounts = [spawn(fun() -> account(0, 0, Main) end) || _ <- lists:seq(1, ?ACCOUNTS)],
    {Ns, _} = bench:timed(fun() ->
        spawn(fun() -> teller(list_to_tuple(Accounts), Transfers, Main) end),
        bench:collect(1)
    end),
    [Account ! over || Account <- Accounts],
    {Balance, Deposits} = lists:foldl(
        fun(_, {B, D}) ->
            receive
                {account, Balance, Deposits} -> {B + Balance, D + Deposits}
            end
        end,
        {0, 0},
        Accounts
    ),
    bench:check(balance_of_all, Balance, 0),
    bench:check(deposits, Deposits, Transfers),
    {4 * Transfers, Ns, ""}.

account(Balance, Deposits, Main) ->
    receive
        {transfer, Amount, To, Teller} ->
            To ! {deposit, Amount, self(), Teller},
            account(Balance - Amount, Deposits, Main);
        {deposit, Amount, From, Teller} ->
            From ! {taken, Teller},
            account(Balance + Amount, Deposits + 1, Main);
        {taken, Teller} ->
            Teller ! taken,
            account(Balance, Deposits, Main);
        over ->
            Main ! {account, Balance, Deposits}
    end.

teller(Accounts, Transfers, Main) ->
    rand:seed(exsss, 1),
    First = min(Transfers, ?UNDER_WAY),
    [order(Accounts) || _ <- lists:seq(1, First)],
    teller(Accounts, Transfers - First, Transfers, Main).

teller(_Accounts, 0, 0, Main) ->
    Main ! {done, 0};
teller(Accounts, ToBegin, Left, Main) ->
    receive
        taken when ToBegin > 0 ->
            order(Accounts),
            teller(Accounts, ToBegin - 1, Left - 1, Main);
        taken ->
            teller(Accounts, 0, Left - 1, Main)
    end.

order(Accounts) ->
    From = rand:uniform(?ACCOUNTS),
    Draw = rand:uniform(?ACCOUNTS - 1),
    To = if Draw >= From -> Draw + 1; true -> Draw end,
    element(From, Accounts) ! {transfer, rand:uniform(1000), element(To, Accounts), self()}.

%% ---- dictionary: 20 clients ask one dictionary; one request in ten writes ----

-define(CLIENTS, 20).
-define(KEYS, 65536).

dictionary(Scale) ->
    Each = bench:scaled(100000, Scale),
    Main = self(),
    Dictionary = spawn(fun() -> dictionary(#{}, 0, Main) end),
    {Ns, _} = bench:timed(fun() ->
        [spawn(fun() -> client_init(I, Each, Dictionary, Main) end) || I <- lists:seq(1, ?CLIENTS)],
        bench:collect(?CLIENTS)
    end),
    Dictionary ! over,
    bench:check(requests_handled, bench:collect(1), ?CLIENTS * Each),
    {2 * ?CLIENTS * Each, Ns, ""}.

dictionary(Values, Handled, Main) ->
    receive
        {get, From, Ref, Key} ->
            From ! {Ref, maps:get(Key, Values, none)},
            dictionary(Values, Handled + 1, Main);
        {put, From, Ref, Key, Value} ->
            From ! {Ref, Value},
            dictionary(Values#{Key => Value}, Handled + 1, Main);
        over ->
            Main ! {done, Handled}
    end.

client_init(Seed, Each, Dictionary, Main) ->
    rand:seed(exsss, Seed),
    client(Each, Dictionary, Main).

client(0, _Dictionary, Main) ->
    Main ! {done, 0};
client(Left, Dictionary, Main) ->
    Key = rand:uniform(?KEYS) - 1,
    Ref = make_ref(),
    case rand:uniform(10) of
        1 -> Dictionary ! {put, self(), Ref, Key, Left * ?KEYS + Key};
        _ -> Dictionary ! {get, self(), Ref, Key}
    end,
    receive
        {Ref, none} -> ok;
        {Ref, Value} when Value rem ?KEYS =:= Key -> ok
    end,
    client(Left - 1, Dictionary, Main).

%% ---- logistic_map: 150 series ask a computer each for their next term ----

-define(SERIES, 150).

logistic_map(Scale) ->
    Terms = bench:scaled(10000, Scale),
    Main = self(),
    {Ns, _} = bench:timed(fun() ->
        [spawn(fun() -> series_init(rate(I), Terms, Main) end) || I <- lists:seq(0, ?SERIES - 1)],
        bench:collect(?SERIES)
    end),
    [
        receive
            {series, Rate, X} -> bench:check(last_term, X, alone(Rate, Rate / 10, Terms))
        end
     || _ <- lists:seq(1, ?SERIES)
    ],
    {2 * ?SERIES * Terms, Ns, ""}.

rate(I) -> 3.46 + 0.0025 * I.

series_init(Rate, Terms, Main) ->
    Computer = spawn_link(fun() -> computer(Rate) end),
    X = series(Computer, Rate / 10, Terms),
    Computer ! over,
    Main ! {done, 0},
    Main ! {series, Rate, X}.

series(_Computer, X, 0) ->
    X;
series(Computer, X, Left) ->
    Ref = make_ref(),
    Computer ! {next, self(), Ref, X},
    receive
        {Ref, Next} -> series(Computer, Next, Left - 1)
    end.

computer(Rate) ->
    receive
        {next, From, Ref, X} ->
            From ! {Ref, Rate * X * (1 - X)},
            computer(Rate);
        over ->
            ok
    end.

alone(_Rate, X, 0) -> X;
alone(Rate, X, Left) -> alone(Rate, Rate * X * (1 - X), Left - 1).

%% ---- radix_sort: numbers go through 60 processes, one for each bit ----

-define(BITS, 60).

radix_sort(Scale) ->
    Count = bench:scaled(100000, Scale),
    Main = self(),
    rand:seed(exsss, 1),
    Numbers = [rand:uniform(1 bsl ?BITS) - 1 || _ <- lists:seq(1, Count)],
    {Ns, Sum} = bench:timed(fun() ->
        Sink = spawn(fun() -> sink(Main, -1, 0, Count) end),
        First = lists:foldl(
            fun(Bit, Next) -> spawn(fun() -> stage(Next, 1 bsl Bit, [], Count) end) end,
            Sink,
            lists:seq(?BITS - 1, 0, -1)
        ),
        spawn(fun() -> [First ! Number || Number <- Numbers] end),
        bench:collect(1)
    end),
    bench:check(sum_of_the_numbers, Sum, lists:sum(Numbers)),
    {(?BITS + 1) * Count, Ns, ""}.

stage(Next, _Mask, Kept, 0) ->
    [Next ! Number || Number <- lists:reverse(Kept)];
stage(Next, Mask, Kept, Left) ->
    receive
        Number when Number band Mask =:= 0 ->
            Next ! Number,
            stage(Next, Mask, Kept, Left - 1);
        Number ->
            stage(Next, Mask, [Number | Kept], Left - 1)
    end.

%% A number that is out of order matches nothing here, and is reported.
sink(Main, _Last, Sum, 0) ->
    Main ! {done, Sum};
sink(Main, Last, Sum, Left) ->
    receive
        Number when Number >= Last -> sink(Main, Number, Sum + Number, Left - 1);
        Number -> Main ! {done, {not_sorted, Number}}
    end.

%% ---- sieve: a chain of filters that grows; each keeps 100 primes and passes on what none of them divides ----

-define(PRIMES, 100).

sieve(Scale) ->
    Last = 1 + bench:scaled(199999, Scale),
    {Count, Sum, Messages} = foresee(Last),
    Main = self(),
    {Ns, ok} = bench:timed(fun() ->
        First = spawn(fun() -> filter([], 0, none, Main) end),
        spawn(fun() -> [First ! N || N <- lists:seq(2, Last)], First ! {over, 0, 0} end),
        receive
            {primes, Count, Sum} -> ok;
            {primes, _, _} = Wrong -> {Wrong, expected, Count, Sum}
        end
    end),
    {Messages, Ns, ""}.

filter(Primes, Kept, Next, Main) ->
    receive
        {over, Count, Sum} when Next =:= none ->
            Main ! {primes, Count + Kept, Sum + lists:sum(Primes)};
        {over, Count, Sum} ->
            Next ! {over, Count + Kept, Sum + lists:sum(Primes)};
        N ->
            case is_divided(N, Primes) of
                true ->
                    filter(Primes, Kept, Next, Main);
                false when Kept < ?PRIMES ->
                    filter(Primes ++ [N], Kept + 1, Next, Main);
                false when Next =:= none ->
                    Behind = spawn(fun() -> filter([N], 1, none, Main) end),
                    filter(Primes, Kept, Behind, Main);
                false ->
                    Next ! N,
                    filter(Primes, Kept, Next, Main)
            end
    end.

is_divided(_N, []) -> false;
is_divided(N, [Prime | _]) when N rem Prime =:= 0 -> true;
is_divided(N, [_ | Primes]) -> is_divided(N, Primes).

%% The primes found the ordinary way, and how many numbers the filters get: a number stops where its least prime factor
%% is kept, and a prime where it is.
foresee(Last) ->
    Least = counters:new(Last, []),
    foresee(2, Last, Least, 0, 0, 0).

foresee(N, Last, _Least, Count, Sum, Messages) when N > Last ->
    {Count, Sum, Messages};
foresee(N, Last, Least, Count, Sum, Messages) ->
    case counters:get(Least, N) of
        0 ->
            mark(N * N, N, Last, Least, Count + 1),
            foresee(N + 1, Last, Least, Count + 1, Sum + N, Messages + Count div ?PRIMES + 1);
        Nth ->
            foresee(N + 1, Last, Least, Count, Sum, Messages + (Nth - 1) div ?PRIMES + 1)
    end.

mark(Multiple, _N, Last, _Least, _Nth) when Multiple > Last ->
    ok;
mark(Multiple, N, Last, Least, Nth) ->
    counters:get(Least, Multiple) =:= 0 andalso counters:put(Least, Multiple, Nth),
    mark(Multiple + N, N, Last, Least, Nth).

%% ---- philosophers: 20 philosophers, and one waiter who gives them their forks ----

-define(SEATS, 20).

philosophers(Scale) ->
    Meals = bench:scaled(50000, Scale),
    Main = self(),
    {Ns, Eaten} = bench:timed(fun() ->
        Waiter = spawn(fun waiter_init/0),
        Philosophers = [
            spawn(fun() -> philosopher(Seat, Waiter, Meals, 0, Main) end)
         || Seat <- lists:seq(0, ?SEATS - 1)
        ],
        Waiter ! {philosophers, list_to_tuple(Philosophers)},
        bench:collect(?SEATS)
    end),
    bench:check(meals, Eaten, ?SEATS * Meals),
    {3 * ?SEATS * Meals, Ns, ""}.

philosopher(_Seat, _Waiter, 0, Eaten, Main) ->
    Main ! {done, Eaten};
philosopher(Seat, Waiter, Left, Eaten, Main) ->
    Waiter ! {hungry, Seat},
    receive
        eat -> ok
    end,
    Waiter ! {full, Seat},
    philosopher(Seat, Waiter, Left - 1, Eaten + 1, Main).

waiter_init() ->
    receive
        {philosophers, Philosophers} -> waiter(Philosophers, 0, 0)
    end.

%% Hungry seats, and forks that are taken, as bits: the fork on the left of that seat.
waiter(Philosophers, Hungry, Taken) ->
    receive
        {hungry, Seat} ->
            {H, T} = serve(Seat, Philosophers, Hungry bor (1 bsl Seat), Taken),
            waiter(Philosophers, H, T);
        {full, Seat} ->
            Forks = forks(Seat),
            Forks = Taken band Forks,
            {H1, T1} = serve((Seat + ?SEATS - 1) rem ?SEATS, Philosophers, Hungry, Taken bxor Forks),
            {H2, T2} = serve((Seat + 1) rem ?SEATS, Philosophers, H1, T1),
            waiter(Philosophers, H2, T2)
    end.

forks(Seat) -> (1 bsl Seat) bor (1 bsl ((Seat + 1) rem ?SEATS)).

serve(Seat, Philosophers, Hungry, Taken) ->
    Bit = 1 bsl Seat,
    Forks = forks(Seat),
    if
        Hungry band Bit =/= 0, Taken band Forks =:= 0 ->
            element(Seat + 1, Philosophers) ! eat,
            {Hungry bxor Bit, Taken bor Forks};
        true ->
            {Hungry, Taken}
    end.

%% ---- bounded_buffer: 40 producers, 40 consumers, a buffer for 50 items between them ----

-define(SIDE, 40).
-define(ROOM, 50).

bounded_buffer(Scale) ->
    Each = bench:scaled(25000, Scale),
    Main = self(),
    {Ns, Consumers} = bench:timed(fun() ->
        Buffer = spawn(fun() -> buffer(queue:new(), 0, [], [], ?SIDE * Each + ?SIDE, Main) end),
        Pids = [spawn(fun() -> buffer_consumer(Buffer, 0, Main) end) || _ <- lists:seq(1, ?SIDE)],
        [spawn(fun() -> buffer_producer(Buffer, 1, Each) end) || _ <- lists:seq(1, ?SIDE)],
        receive
            over -> Pids
        end
    end),
    [Consumer ! over || Consumer <- Consumers],
    bench:check(sum_of_the_items, bench:collect(?SIDE), ?SIDE * Each * (Each + 1) div 2),
    {5 * ?SIDE * Each, Ns, ""}.

buffer_producer(_Buffer, Item, Last) when Item > Last ->
    ok;
buffer_producer(Buffer, Item, Last) ->
    Buffer ! {room, self()},
    receive
        room -> ok
    end,
    Buffer ! {item, Item},
    buffer_producer(Buffer, Item + 1, Last).

buffer_consumer(Buffer, Sum, Main) ->
    Buffer ! {want, self()},
    receive
        {item, Item} -> buffer_consumer(Buffer, Sum + Item, Main);
        over -> Main ! {done, Sum}
    end.

%% Used is the room that has an item or was given to a producer.
buffer(_Items, _Used, _Producers, _Consumers, 0, Main) ->
    Main ! over;
buffer(Items, Used, [Producer | Producers], Consumers, Wants, Main) when Used < ?ROOM ->
    Producer ! room,
    buffer(Items, Used + 1, Producers, Consumers, Wants, Main);
buffer(Items, Used, Producers, Consumers, Wants, Main) ->
    receive
        {room, Producer} ->
            buffer(Items, Used, [Producer | Producers], Consumers, Wants, Main);
        {item, Item} when Consumers =:= [] ->
            buffer(queue:in(Item, Items), Used, Producers, Consumers, Wants, Main);
        {item, _} = Item ->
            hd(Consumers) ! Item,
            buffer(Items, Used - 1, Producers, tl(Consumers), Wants, Main);
        {want, Consumer} ->
            case queue:out(Items) of
                {{value, Item}, Rest} ->
                    Consumer ! {item, Item},
                    buffer(Rest, Used - 1, Producers, Consumers, Wants - 1, Main);
                {empty, _} ->
                    buffer(Items, Used, Producers, [Consumer | Consumers], Wants - 1, Main)
            end
    end.

%% ---- queens: a master deals boards to 20 workers, which find more to deal ----

-define(SIZE, 10).
-define(SOLUTIONS, 724).
-define(SHALLOW, 4).

queens(Scale) ->
    Searches = bench:scaled(40, Scale),
    {Ns, {Jobs, Solutions}} = bench:timed(fun() ->
        Master = self(),
        Workers = [spawn_link(fun() -> queens_worker(Master) end) || _ <- lists:seq(1, 20)],
        [lists:nth(I rem 20 + 1, Workers) ! {job, []} || I <- lists:seq(0, Searches - 1)],
        queens_master(list_to_tuple(Workers), Searches, Searches, 0)
    end),
    bench:check(solutions, Solutions, ?SOLUTIONS * Searches),
    {3 * Jobs - Searches, Ns, ""}.

%% Open is how many are dealt and not done.  A worker says of each that it has found before it says that it is done with its
%% own: whoever is quicker with those cannot make it look as if nothing were left.
queens_master(_Workers, Dealt, 0, Solutions) ->
    {Dealt, Solutions};
queens_master(Workers, Dealt, Open, Solutions) ->
    receive
        {job, Board} ->
            element(Dealt rem tuple_size(Workers) + 1, Workers) ! {job, Board},
            queens_master(Workers, Dealt + 1, Open + 1, Solutions);
        {found, Found} ->
            queens_master(Workers, Dealt, Open - 1, Solutions + Found)
    end.

%% A board is the queens' columns, the last row first.
queens_worker(Master) ->
    receive
        {job, Board} when length(Board) >= ?SHALLOW ->
            Master ! {found, search(Board)};
        {job, Board} ->
            [Master ! {job, [Column | Board]} || Column <- lists:seq(1, ?SIZE), is_safe(Column, 1, Board)],
            Master ! {found, 0}
    end,
    queens_worker(Master).

search(Board) when length(Board) =:= ?SIZE -> 1;
search(Board) ->
    lists:sum([search([Column | Board]) || Column <- lists:seq(1, ?SIZE), is_safe(Column, 1, Board)]).

is_safe(_Column, _Apart, []) -> true;
is_safe(Column, Apart, [Other | Board]) ->
    Other =/= Column andalso abs(Other - Column) =/= Apart andalso is_safe(Column, Apart + 1, Board).
