%% SPDX-License-Identifier: MIT
%%
%% The workloads of troupe-bench, as processes: one repetition of one of them.
%%
%%   erl ... -run bench main list                      the workloads, one a line
%%   erl ... -run bench main WORKLOAD SCALE WORKERS    prints one line, as troupe-bench does; status 1 if it is wrong
%%
%% How many schedulers there are is said to erl (+S); WORKERS is only printed.
-module(bench).
-export([main/1, scaled/2, timed/1, check/3, collect/1, resident_bytes/0]).

workloads() ->
    #{
        "pingpong" => fun messages:pingpong/1,
        "pingpong_pairs" => fun messages:pingpong_pairs/1,
        "threadring" => fun messages:threadring/1,
        "counting_b" => fun messages:counting_b/1,
        "counting_u" => fun messages:counting_u/1,
        "many_to_one_b" => fun messages:many_to_one_b/1,
        "many_to_one_u" => fun messages:many_to_one_u/1,
        "fj_throughput_b" => fun messages:fj_throughput_b/1,
        "fj_throughput_u" => fun messages:fj_throughput_u/1,
        "big" => fun messages:big/1,
        "fj_create" => fun lives:fj_create/1,
        "idle_memory" => fun lives:idle_memory/1,
        "skynet" => fun lives:skynet/1,
        "steal" => fun lives:steal/1,
        "ask" => fun ask:ask/1,
        "ask_spaced" => fun ask:ask_spaced/1,
        "chameneos" => fun savina:chameneos/1,
        "bank" => fun savina:bank/1,
        "dictionary" => fun savina:dictionary/1,
        "logistic_map" => fun savina:logistic_map/1,
        "radix_sort" => fun savina:radix_sort/1,
        "sieve" => fun savina:sieve/1,
        "philosophers" => fun savina:philosophers/1,
        "bounded_buffer" => fun savina:bounded_buffer/1,
        "queens" => fun savina:queens/1,
        "sleeping_barber" => fun work:sleeping_barber/1,
        "cobwebbed_tree" => fun work:cobwebbed_tree/1,
        "quicksort" => fun work:quicksort/1,
        "a_star" => fun work:a_star/1,
        "matrix_multiply" => fun work:matrix_multiply/1,
        "link_unlink" => fun links:link_unlink/1,
        "monitor_demonitor" => fun links:monitor_demonitor/1,
        "spawn_monitor_exit" => fun links:spawn_monitor_exit/1,
        "restart" => fun restart:restart/1,
        "restart_long" => fun restart:restart_long/1
    }.

main(["list"]) ->
    [io:format("~s~n", [Name]) || Name <- lists:sort(maps:keys(workloads()))],
    halt(0);
main([Name, Scale, Workers]) ->
    try
        Run = maps:get(Name, workloads()),
        {Messages, Ns, Extra} = Run(number(Scale)),
        Seconds = Ns / 1.0e9,
        io:format(
            "workload=~s peer=erlang msgs=~b secs=~.6f per_sec=~b ns_per_msg=~.1f~s workers=~s~n",
            [Name, Messages, Seconds, round(Messages / Seconds), Ns / Messages, Extra, Workers]
        ),
        halt(0)
    catch
        _:Reason:Stack ->
            io:format(standard_error, "erlang bench: ~p~n~p~n", [Reason, Stack]),
            halt(1)
    end;
main(_) ->
    io:format(standard_error, "usage: bench list | bench WORKLOAD SCALE WORKERS~n", []),
    halt(2).

number(Text) ->
    case string:to_float(Text) of
        {error, no_float} -> float(list_to_integer(Text));
        {Float, ""} -> Float
    end.

%% So many times as much work, at least one.
scaled(Base, Scale) ->
    max(1, trunc(Base * Scale)).

%% How long it took in ns, and what came of it.
timed(Fun) ->
    Begin = erlang:monotonic_time(nanosecond),
    Value = Fun(),
    {erlang:monotonic_time(nanosecond) - Begin, Value}.

check(_What, Expected, Expected) -> ok;
check(What, Is, Expected) -> error({What, Is, expected, Expected}).

%% The sum of so many {done, Number} from others.
collect(Count) -> collect(Count, 0).
collect(0, Sum) -> Sum;
collect(Count, Sum) ->
    receive
        {done, Number} -> collect(Count - 1, Sum + Number)
    end.

resident_bytes() ->
    {ok, Text} = file:read_file("/proc/self/statm"),
    [_, Resident | _] = string:lexemes(binary_to_list(Text), " "),
    list_to_integer(Resident) * 4096.
