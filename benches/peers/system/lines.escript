#!/usr/bin/env escript
%%! +S 1:1 +SDcpu 1:1 +SDio 1 +A 1
%% lines.escript ADDR: a line echo with gen_tcp and a process per connection, on one scheduler.
%%
%% The runtime finds the lines ({packet, line}); one call to send/2 for each.
-mode(compile).
-export([main/1]).

main([Address]) ->
    [Host, Port] = string:split(Address, ":", trailing),
    {ok, Ip} = inet:parse_address(Host),
    {ok, Listener} = gen_tcp:listen(list_to_integer(Port), [
        binary, {ip, Ip}, {packet, line}, {active, false}, {nodelay, true},
        {reuseaddr, true}, {backlog, 1024}
    ]),
    {ok, {Ip, Bound}} = inet:sockname(Listener),
    io:format("listening on ~s:~b~n", [inet:ntoa(Ip), Bound]),
    accept(Listener).

accept(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    Owner = spawn(fun() -> receive go -> echo(Socket) end end),
    %% A peer that has gone already is found by its own process.
    _ = gen_tcp:controlling_process(Socket, Owner),
    Owner ! go,
    accept(Listener).

echo(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Line} ->
            case gen_tcp:send(Socket, Line) of
                ok -> echo(Socket);
                {error, _} -> gen_tcp:close(Socket)
            end;
        {error, _} ->
            gen_tcp:close(Socket)
    end.
