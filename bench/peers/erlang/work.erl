%% SPDX-License-Identifier: MIT
%%
%% From the Savina suite, where something is worked at.  What is worked ends where all steps have been made.
-module(work).
-export([sleeping_barber/1, cobwebbed_tree/1, quicksort/1, a_star/1, matrix_multiply/1]).

work_from(X, 0) -> X;
work_from(X, Steps) -> work_from((X * 69069 + 1) band 16#ffffffff, Steps - 1).

%% ---- sleeping_barber: 2000 customers, a waiting room with 1000 chairs, one barber ----

-define(CUSTOMERS, 2000).
-define(CHAIRS, 1000).

sleeping_barber(Scale) ->
    Each = bench:scaled(100, Scale),
    Expected = sum_of(fun(N) -> work_from(N, haircut_steps(N)) end, 0, ?CUSTOMERS * Each - 1),
    Main = self(),
    {Ns, {Haircuts, Barber}} = bench:timed(fun() ->
        Cutter = spawn(fun() -> barber(0, 0) end),
        Room = spawn(fun() -> room(queue:new(), 0, true, Cutter) end),
        Street = spawn(fun() -> street(Room, queue:new(), none, 0) end),
        [spawn(fun() -> customer(Each, 0, Street, Main) end) || _ <- lists:seq(1, ?CUSTOMERS)],
        {bench:collect(?CUSTOMERS), Cutter}
    end),
    bench:check(haircuts, Haircuts, ?CUSTOMERS * Each),
    Barber ! {sum, Main},
    bench:check(sum_of_the_work, bench:collect(1), Expected),
    {7 * ?CUSTOMERS * Each, Ns, ""}.

sum_of(Fun, First, Last) -> sum_of(Fun, First, Last, 0).
sum_of(_Fun, N, Last, Sum) when N > Last -> Sum;
sum_of(Fun, N, Last, Sum) -> sum_of(Fun, N + 1, Last, Sum + Fun(N)).

haircut_steps(N) -> 10 + N * 7919 band 16#ffffffff rem 1000.

customer(0, Had, _Street, Main) ->
    Main ! {done, Had};
customer(Left, Had, Street, Main) ->
    Street ! {back, self()},
    receive
        cut -> ok
    end,
    receive
        done -> customer(Left - 1, Had + 1, Street, Main)
    end.

%% Sent is the customer of whom we have not heard.
street(Room, Line, Sent, Count) ->
    receive
        {back, Customer} -> send_one(Room, queue:in(Customer, Line), Sent, Count);
        full -> send_one(Room, queue:in(Sent, Line), none, Count);
        taken -> send_one(Room, Line, none, Count)
    end.

send_one(Room, Line, none, Count) ->
    case queue:out(Line) of
        {{value, Customer}, Rest} ->
            work_from(Count, haircut_steps(Count) div 2),
            Room ! {enter, Customer, self()},
            street(Room, Rest, Customer, Count + 1);
        {empty, _} ->
            street(Room, Line, none, Count)
    end;
send_one(Room, Line, Sent, Count) ->
    street(Room, Line, Sent, Count).

room(Line, Count, IsBarberAsleep, Barber) ->
    receive
        {enter, _Customer, Street} when Count =:= ?CHAIRS ->
            Street ! full,
            room(Line, Count, IsBarberAsleep, Barber);
        {enter, Customer, Street} ->
            Street ! taken,
            seat_one(queue:in(Customer, Line), Count + 1, IsBarberAsleep, Barber);
        next ->
            seat_one(Line, Count, true, Barber)
    end.

seat_one(Line, Count, true, Barber) when Count > 0 ->
    {{value, Customer}, Rest} = queue:out(Line),
    Barber ! {sit, Customer, self()},
    room(Rest, Count - 1, false, Barber);
seat_one(Line, Count, IsBarberAsleep, Barber) ->
    room(Line, Count, IsBarberAsleep, Barber).

barber(Haircuts, Sum) ->
    receive
        {sit, Customer, Room} ->
            Customer ! cut,
            End = work_from(Haircuts, haircut_steps(Haircuts)),
            Customer ! done,
            Room ! next,
            barber(Haircuts + 1, Sum + End);
        {sum, Main} ->
            Main ! {done, Sum}
    end.

%% ---- cobwebbed_tree: nodes ask the root whether they may have children; then all work, and sums go up ----

-define(CHILDREN, 10).

cobwebbed_tree(Scale) ->
    Grown = max(1, (bench:scaled(200000, Scale) - 1) div ?CHILDREN),
    Below = Grown * ?CHILDREN,
    Expected = sum_of(fun tree_work/1, 0, Below),
    Main = self(),
    {Ns, Sum} = bench:timed(fun() ->
        spawn(fun() -> tree_root(Below + 1, Main) end),
        bench:collect(1)
    end),
    bench:check(sum_of_the_work, Sum, Expected),
    {3 * Below + Grown - 1, Ns, ""}.

tree_work(Number) -> work_from(Number, 400 + Number * 7919 rem 201).

tree_root(Most, Main) ->
    rand:seed(exsss, 1),
    Children = spawn_children(self(), 1),
    Most = tree_grow(1 + ?CHILDREN, ?CHILDREN, Most),
    Main ! {done, sum_up(0, Children)}.

%% Nodes there are, and open, those that have not asked.
tree_grow(Nodes, 0, _Most) ->
    Nodes;
tree_grow(Nodes, Open, Most) ->
    receive
        {ask, Node} -> tree_decide(Node, Nodes, Open - 1, Most)
    end.

tree_decide(Node, Nodes, Open, Most) ->
    MayGrow = Nodes + ?CHILDREN =< Most andalso (Open =:= 0 orelse rand:uniform(2) =:= 1),
    if
        MayGrow ->
            Node ! {grow, Nodes},
            tree_grow(Nodes + ?CHILDREN, Open + ?CHILDREN, Most);
        true ->
            tree_grow(Nodes, Open, Most)
    end.

spawn_children(Root, First) ->
    Me = self(),
    [spawn(fun() -> tree_node(Number, Root, Me) end) || Number <- lists:seq(First, First + ?CHILDREN - 1)].

tree_node(Number, Root, Parent) ->
    Root ! {ask, self()},
    Sum =
        receive
            {grow, First} ->
                Children = spawn_children(Root, First),
                receive
                    traverse -> sum_up(Number, Children)
                end;
            traverse ->
                tree_work(Number)
        end,
    Parent ! {done, Sum}.

sum_up(Number, Children) ->
    Own = tree_work(Number),
    [Child ! traverse || Child <- Children],
    Own + bench:collect(length(Children)).

%% ---- quicksort: a process for each part above 2048 numbers, which gets them as a list and gives back another ----

-define(ALONE, 2048).

quicksort(Scale) ->
    rand:seed(exsss, 1),
    Count = bench:scaled(1000000, Scale),
    Numbers = [rand:uniform(1 bsl 59) - 1 || _ <- lists:seq(1, Count)],
    {Ns, Sorted} = bench:timed(fun() ->
        spawn_sorter(first, Numbers, Count),
        sorted(first)
    end),
    bench:check(numbers, length(Sorted), Count),
    bench:check(sum_of_the_numbers, lists:sum(Sorted), lists:sum(Numbers)),
    bench:check(sorted, is_sorted(Sorted), true),
    {Count, Ns, ""}.

spawn_sorter(Which, Numbers, Count) ->
    Me = self(),
    spawn(fun() -> Me ! {sorted, Which, sort(Numbers, Count)} end).

sorted(Which) ->
    receive
        {sorted, Which, Numbers} -> Numbers
    end.

sort(Numbers, Count) when Count =< ?ALONE ->
    lists:sort(Numbers);
sort([Pivot | _] = Numbers, _Count) ->
    {Below, BelowCount, Equal, Above, AboveCount} = split(Numbers, Pivot, [], 0, [], [], 0),
    spawn_sorter(left, Below, BelowCount),
    spawn_sorter(right, Above, AboveCount),
    sorted(left) ++ Equal ++ sorted(right).

split([], _Pivot, Below, BelowCount, Equal, Above, AboveCount) ->
    {Below, BelowCount, Equal, Above, AboveCount};
split([N | Rest], Pivot, Below, BelowCount, Equal, Above, AboveCount) when N < Pivot ->
    split(Rest, Pivot, [N | Below], BelowCount + 1, Equal, Above, AboveCount);
split([N | Rest], Pivot, Below, BelowCount, Equal, Above, AboveCount) when N > Pivot ->
    split(Rest, Pivot, Below, BelowCount, Equal, [N | Above], AboveCount + 1);
split([N | Rest], Pivot, Below, BelowCount, Equal, Above, AboveCount) ->
    split(Rest, Pivot, Below, BelowCount, [N | Equal], Above, AboveCount).

is_sorted([A, B | _]) when A > B -> false;
is_sorted([_ | Rest]) -> is_sorted(Rest);
is_sorted([]) -> true.

%% ---- a_star: 40 guided searches through a grid; what a cell was reached for is in `atomics`, which all share ----

-define(SIDE, 30).
-define(CELLS, (?SIDE * ?SIDE * ?SIDE)).
-define(TARGET, (?CELLS - 1)).
-define(UNREACHED, 1000000).
-define(WORKERS, 20).
-define(THRESHOLD, 1024).

a_star(Scale) ->
    Searches = bench:scaled(40, Scale),
    Expected = sum_of(fun foresee/1, 1, Searches),
    {Ns, Costs} = bench:timed(fun() ->
        Master = self(),
        Workers = list_to_tuple([spawn_link(fun() -> search_worker(Master) end) || _ <- lists:seq(1, ?WORKERS)]),
        sum_of(fun(Search) -> search(Search, Workers) end, 1, Searches)
    end),
    bench:check(costs_of_the_ways, Costs, Expected),
    {Searches * ?CELLS, Ns, ""}.

search(Search, Workers) ->
    Best = atomics:new(?CELLS, []),
    [atomics:put(Best, I, ?UNREACHED) || I <- lists:seq(2, ?CELLS)],
    element(1, Workers) ! {job, Search, Best, {distance_of(0), 0, 0}},
    search_master(Workers, 1, 1),
    best_of(Best, ?TARGET).

search_master(_Workers, _Dealt, 0) ->
    ok;
search_master(Workers, Dealt, Open) ->
    receive
        {job, _, _, _} = Job ->
            element(Dealt rem ?WORKERS + 1, Workers) ! Job,
            search_master(Workers, Dealt + 1, Open + 1);
        done ->
            search_master(Workers, Dealt, Open - 1)
    end.

search_worker(Master) ->
    receive
        {job, Search, Best, Step} ->
            Left = go_through(gb_sets:singleton(Step), Search, Best, ?THRESHOLD),
            [Master ! {job, Search, Best, Next} || Next <- gb_sets:to_list(Left), is_promising(Next, Best)],
            Master ! done
    end,
    search_worker(Master).

%% A step is {guess, cell, cost}: the first of the set is the most promising one.
go_through(Open, _Search, _Best, 0) ->
    Open;
go_through(Open, Search, Best, Left) ->
    case gb_sets:is_empty(Open) of
        true ->
            Open;
        false ->
            {Step, Rest} = gb_sets:take_smallest(Open),
            case is_promising(Step, Best) of
                true -> go_through(go_on_from(Step, Rest, Search, Best), Search, Best, Left - 1);
                false -> go_through(Rest, Search, Best, Left - 1)
            end
    end.

go_on_from({_, From, Cost}, Open, Search, Best) ->
    lists:foldl(
        fun(Cell, Steps) ->
            NextCost = Cost + cost_of(Search, Cell),
            Guess = NextCost + distance_of(Cell),
            IsBetter = Guess < best_of(Best, ?TARGET) andalso lower(Best, Cell, NextCost),
            if
                IsBetter, Cell =/= ?TARGET -> gb_sets:add_element({Guess, Cell, NextCost}, Steps);
                true -> Steps
            end
        end,
        Open,
        neighbours_of(From)
    ).

is_promising({Guess, Cell, Cost}, Best) ->
    Cost =< best_of(Best, Cell) andalso Guess < best_of(Best, ?TARGET).

best_of(Best, Cell) -> atomics:get(Best, Cell + 1).

lower(Best, Cell, Cost) -> lower(Best, Cell, Cost, best_of(Best, Cell)).
lower(_Best, _Cell, Cost, Before) when Cost >= Before -> false;
lower(Best, Cell, Cost, Before) ->
    case atomics:compare_exchange(Best, Cell + 1, Before, Cost) of
        ok -> true;
        Now -> lower(Best, Cell, Cost, Now)
    end.

cost_of(Search, Cell) ->
    1 + (((Search * ?CELLS + Cell + 1) * 2654435761 rem 4294967291) bsr 8) rem 9.

distance_of(Cell) ->
    3 * (?SIDE - 1) - Cell rem ?SIDE - Cell div ?SIDE rem ?SIDE - Cell div (?SIDE * ?SIDE).

neighbours_of(Cell) ->
    beside(Cell, 1, beside(Cell, ?SIDE, beside(Cell, ?SIDE * ?SIDE, []))).

beside(Cell, Apart, Cells) ->
    case Cell div Apart rem ?SIDE of
        0 -> [Cell + Apart | Cells];
        ?SIDE - 1 -> [Cell - Apart | Cells];
        _ -> [Cell - Apart, Cell + Apart | Cells]
    end.

%% What the cheapest way costs, found the ordinary way: until no cell can be entered for less.
foresee(Search) ->
    Costs = atomics:new(?CELLS, []),
    [atomics:put(Costs, I, ?UNREACHED) || I <- lists:seq(2, ?CELLS)],
    foresee(Search, Costs).

foresee(Search, Costs) ->
    Improved = [Cell || Cell <- lists:seq(1, ?TARGET), is_improved(Search, Cell, Costs)],
    if
        Improved =:= [] -> best_of(Costs, ?TARGET);
        true -> foresee(Search, Costs)
    end.

is_improved(Search, Cell, Costs) ->
    Cheapest = lists:min([best_of(Costs, Other) || Other <- neighbours_of(Cell)]) + cost_of(Search, Cell),
    lower(Costs, Cell, Cheapest).

%% ---- matrix_multiply: 20 workers get blocks of the product; who has a block has its sums, as lists of whole numbers ----

-define(BLOCK, 128).

matrix_multiply(Scale) ->
    Side = matrix_side(Scale, 2 * ?BLOCK),
    persistent_term:put(left, chunks(fun(Row, K) -> Row + K end, Side)),
    persistent_term:put(right, chunks(fun(Column, K) -> Column - K end, Side)),
    {Ns, {Dealt, Ready}} = bench:timed(fun() ->
        Master = self(),
        Workers = [spawn_link(fun() -> matrix_worker(Side, Master) end) || _ <- lists:seq(1, ?WORKERS)],
        hd(Workers) ! {job, {0, 0, Side, 0, []}},
        matrix_master(list_to_tuple(Workers), 1, 1, [])
    end),
    Right = lists:sum([right_ones(Block, Side) || Block <- Ready]),
    bench:check(places_that_are_right, Right, Side * Side),
    {3 * Dealt - 1, Ns, ""}.

matrix_side(Scale, Side) when Scale * 1024 * 1024 * 1024 >= 8 * Side * Side * Side ->
    matrix_side(Scale, 2 * Side);
matrix_side(_Scale, Side) ->
    Side.

%% For each line of the matrix, a row of the left one or a column of the right one, lists of so many numbers as a job takes.
chunks(Fun, Side) ->
    list_to_tuple([
        list_to_tuple([
            [Fun(Line, K) || K <- lists:seq(First, First + ?BLOCK - 1)]
         || First <- lists:seq(0, Side - 1, ?BLOCK)
        ])
     || Line <- lists:seq(0, Side - 1)
    ]).

matrix_master(_Workers, Dealt, 0, Ready) ->
    {Dealt, Ready};
matrix_master(Workers, Dealt, Open, Ready) ->
    receive
        {job, _} = Job ->
            element(Dealt rem ?WORKERS + 1, Workers) ! Job,
            matrix_master(Workers, Dealt + 1, Open + 1, Ready);
        done ->
            matrix_master(Workers, Dealt, Open - 1, Ready);
        {ready, Block} ->
            matrix_master(Workers, Dealt, Open - 1, [Block | Ready])
    end.

matrix_worker(Side, Master) ->
    receive
        {job, {Row, Column, Size, 0, []}} when Size > ?BLOCK ->
            Half = Size div 2,
            [Master ! {job, {Row + R * Half, Column + C * Half, Half, 0, []}} || R <- [0, 1], C <- [0, 1]],
            Master ! done;
        {job, Block} ->
            case multiply(Block) of
                {_, _, _, Side, _} = Whole ->
                    Master ! {ready, Whole};
                More ->
                    Master ! {job, More},
                    Master ! done
            end
    end,
    matrix_worker(Side, Master).

%% Adds so many products to each place of a small block as a job takes.
multiply({Row, Column, Size, Inner, Sums}) ->
    Chunk = Inner div ?BLOCK + 1,
    Left = persistent_term:get(left),
    Right = persistent_term:get(right),
    Columns = [element(Chunk, element(Column + C, Right)) || C <- lists:seq(1, Size)],
    Before = if Sums =:= [] -> lists:duplicate(Size, lists:duplicate(Size, 0)); true -> Sums end,
    After = multiply_rows(Row + 1, Chunk, Left, Columns, Before),
    {Row, Column, Size, Inner + ?BLOCK, After}.

multiply_rows(_Row, _Chunk, _Left, _Columns, []) ->
    [];
multiply_rows(Row, Chunk, Left, Columns, [Sums | Rest]) ->
    Numbers = element(Chunk, element(Row, Left)),
    [add_products(Numbers, Columns, Sums) | multiply_rows(Row + 1, Chunk, Left, Columns, Rest)].

add_products(_Numbers, [], []) -> [];
add_products(Numbers, [Column | Columns], [Sum | Sums]) ->
    [product(Numbers, Column, Sum) | add_products(Numbers, Columns, Sums)].

product([], [], Sum) -> Sum;
product([A | As], [B | Bs], Sum) -> product(As, Bs, Sum + A * B).

right_ones({Row, Column, Size, _, Sums}, Side) ->
    length([
        right
     || {I, Line} <- lists:zip(lists:seq(0, Size - 1), Sums),
        {J, Sum} <- lists:zip(lists:seq(0, Size - 1), Line),
        Sum =:= product_at(Row + I, Column + J, Side)
    ]).

%% What must come out: with k from 0 to Side - 1 the sum of (row + k) * (column - k).
product_at(Row, Column, Side) ->
    Side * Row * Column + (Column - Row) * (Side * (Side - 1) div 2) -
        (Side - 1) * Side * (2 * Side - 1) div 6.
