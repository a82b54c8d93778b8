%% SPDX-License-Identifier: MIT
%%
%% From the Savina suite: calls are references and selective receives, as gen_server's are, or plain messages.
-module(savina).
-export([chameneos/1, bank/1, dictionary/1, logistic_map/1, radix_sort/1, sieve/1]).

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
