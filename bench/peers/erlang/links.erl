%% SPDX-License-Identifier: MIT
%%
%% Links and monitors.
-module(links).
-export([link_unlink/1, monitor_demonitor/1, spawn_monitor_exit/1]).

idle() ->
    receive
        stop -> ok
    end.

link_unlink(Scale) ->
    Count = bench:scaled(2000000, Scale),
    Other = spawn(fun idle/0),
    {Ns, ok} = bench:timed(fun() -> link_unlink(Other, Count) end),
    {links, Links} = process_info(Other, links),
    bench:check(links_left, Links, []),
    {Count, Ns, ""}.

link_unlink(_Other, 0) -> ok;
link_unlink(Other, Count) ->
    true = link(Other),
    true = unlink(Other),
    link_unlink(Other, Count - 1).

monitor_demonitor(Scale) ->
    Count = bench:scaled(2000000, Scale),
    Other = spawn(fun idle/0),
    {Ns, ok} = bench:timed(fun() -> monitor_demonitor(Other, Count) end),
    {monitored_by, Watchers} = process_info(Other, monitored_by),
    bench:check(watchers_left, Watchers, []),
    {Count, Ns, ""}.

monitor_demonitor(_Other, 0) -> ok;
monitor_demonitor(Other, Count) ->
    Ref = monitor(process, Other),
    true = demonitor(Ref, [flush]),
    monitor_demonitor(Other, Count - 1).

spawn_monitor_exit(Scale) ->
    Count = bench:scaled(1000000, Scale),
    {Ns, ok} = bench:timed(fun() -> spawn_monitor_exit_loop(Count) end),
    {Count, Ns, ""}.

spawn_monitor_exit_loop(0) -> ok;
spawn_monitor_exit_loop(Count) ->
    {Pid, Ref} = spawn_monitor(fun() -> ok end),
    receive
        {'DOWN', Ref, process, Pid, normal} -> spawn_monitor_exit_loop(Count - 1)
    end.
