%% SPDX-License-Identifier: MIT
%%
%% Calls of a gen_server, one after the other, with a time-out of 10 s.
-module(ask).
-behaviour(gen_server).
-export([ask/1, ask_spaced/1]).
-export([init/1, handle_call/3, handle_cast/2]).

init([]) -> {ok, 0}.

handle_call(sum, _From, Sum) -> {reply, Sum, Sum};
handle_call(Value, _From, Sum) -> {reply, Value + 1, Sum + Value}.

handle_cast(_, Sum) -> {noreply, Sum}.

ask(Scale) -> calls(bench:scaled(200000, Scale), 0).

ask_spaced(Scale) -> calls(bench:scaled(20000, Scale), 100000).

calls(Calls, SpaceNs) ->
    {ok, Oracle} = gen_server:start_link(?MODULE, [], []),
    {Ns, Latencies} = bench:timed(fun() -> calls(Oracle, 0, Calls, SpaceNs, []) end),
    bench:check(sum_of_the_questions, gen_server:call(Oracle, sum), Calls * (Calls - 1) div 2),
    Sorted = list_to_tuple(lists:sort(Latencies)),
    P50 = element((Calls - 1) div 2 + 1, Sorted),
    P99 = element((Calls - 1) * 99 div 100 + 1, Sorted),
    {Calls, Ns, io_lib:format(" p50_ns=~b p99_ns=~b", [P50, P99])}.

calls(_Oracle, Calls, Calls, _SpaceNs, Latencies) ->
    Latencies;
calls(Oracle, Value, Calls, SpaceNs, Latencies) ->
    Asked = erlang:monotonic_time(nanosecond),
    Answer = gen_server:call(Oracle, Value, 10000),
    Answered = erlang:monotonic_time(nanosecond),
    Answer = Value + 1,
    work(Answered + SpaceNs, SpaceNs),
    calls(Oracle, Answer, Calls, SpaceNs, [Answered - Asked | Latencies]).

work(_Until, 0) -> ok;
work(Until, SpaceNs) ->
    erlang:monotonic_time(nanosecond) >= Until orelse work(Until, SpaceNs).
