%% BEAM: an actor is a process. Messages are copied, mailboxes have no bound; everything else is as in the other peers.
%%
%% erl -noinput -pa DIR -run bench_peer main WORKLOAD key=value ...; the last line is one JSON object.
-module(bench_peer).
-export([main/1]).

-define(BURST, 10).
-define(FLOOD, 100).
-define(MAILBOX, 1000).

main([Workload | Words]) ->
    P = maps:from_list([list_to_tuple(string:split(Word, "=")) || Word <- Words]),
    Result = case Workload of
        "ping_pong" -> warm("messages", P, fun ping_pong/2);
        "fan_in" -> warm("messages", P, fun fan_in/2);
        "ring" -> warm("hops", P, fun ring/2);
        "dormant" -> dormant(P);
        "wake" -> wake(P)
    end,
    io:format("{~s}~n", [lists:join(",", [["\"", Key, "\":", json(Value)] || {Key, Value} <- Result])]),
    halt(0).

json(Value) when is_integer(Value) -> integer_to_list(Value);
json(Value) when is_float(Value) -> float_to_list(Value, [{decimals, 9}]);
json(Values) -> ["[", lists:join(",", [json(Value) || Value <- Values]), "]"].

number(Name, P) ->
    case string:to_float(maps:get(Name, P)) of
        {error, no_float} -> list_to_integer(maps:get(Name, P));
        {Value, ""} -> Value
    end.

%% Once with a tenth, then the run that counts.
warm(Name, P, Work) ->
    Full = number(Name, P),
    0 = Full rem 10,
    Work(Full div 10, P),
    Work(Full, P).

now_ns() -> erlang:monotonic_time(nanosecond).
since(Began) -> (now_ns() - Began) / 1.0e9.

%% --- W1 to W3

ping_pong(Messages, _) ->
    Me = self(),
    One = spawn(fun() -> receive {meet, Other} -> player(Other, Messages div 2, Me) end end),
    Two = spawn(fun() -> receive {meet, Other} -> player(Other, Messages div 2 + 1, Me) end end),
    One ! {meet, Two},
    Two ! {meet, One},
    Began = now_ns(),
    Two ! {ball, 0},
    receive done -> ok end,
    Seconds = since(Began),
    exit(Two, kill),
    [{"count", Messages}, {"seconds", Seconds}].

player(Other, Left, Me) ->
    receive
        Ball when Left > 1 -> Other ! Ball, player(Other, Left - 1, Me);
        _ -> Me ! done
    end.

fan_in(Messages, P) ->
    Senders = number("senders", P),
    Fresh = number("fresh", P) =:= 1,
    Me = self(),
    Began = now_ns(),
    Sink = spawn(fun() -> sink(Messages, Me) end),
    [spawn(fun() -> source(Sink, Messages div Senders, Fresh, {item, 0, false, self()}, {item, 0, true, self()}) end)
     || _ <- lists:seq(1, Senders)],
    receive done -> ok end,
    [{"count", Messages}, {"seconds", since(Began)}].

sink(Left, Me) ->
    receive
        {item, _, false, _} -> sink(Left - 1, Me);
        {item, _, true, From} ->
            From ! {credit, ?BURST},
            case Left of
                1 -> Me ! done;
                _ -> sink(Left - 1, Me)
            end
    end.

source(_, 0, _, _, _) -> ok;
source(Sink, Left, Fresh, Item, Last) ->
    case Fresh of
        true -> fresh(Sink, 0);
        false -> same(Sink, Item, Last, ?BURST - 1)
    end,
    receive {credit, _} -> source(Sink, Left - ?BURST, Fresh, Item, Last) end.

fresh(_, ?BURST) -> ok;
fresh(Sink, N) -> Sink ! {item, N, N =:= ?BURST - 1, self()}, fresh(Sink, N + 1).

same(Sink, _, Last, 0) -> Sink ! Last;
same(Sink, Item, Last, N) -> Sink ! Item, same(Sink, Item, Last, N - 1).

ring(Hops, P) ->
    Agents = number("agents", P),
    Tokens = number("tokens", P),
    Fresh = number("fresh", P) =:= 1,
    Me = self(),
    Links = list_to_tuple([spawn(fun() -> receive {join, Next} -> link(Next, Me, Hops, Fresh) end end)
                           || _ <- lists:seq(1, Agents)]),
    [element(N + 1, Links) ! {join, element((4221 * N + 7919) rem Agents + 1, Links)} || N <- lists:seq(0, Agents - 1)],
    Began = now_ns(),
    [element(N * Agents div Tokens + 1, Links) ! {token, 0} || N <- lists:seq(0, Tokens - 1)],
    [receive {swallowed, _} -> ok end || _ <- lists:seq(1, Tokens)],
    Seconds = since(Began),
    [exit(Link, kill) || Link <- tuple_to_list(Links)],
    [{"count", Hops * Agents}, {"seconds", Seconds}].

link(Next, Collector, 0, Fresh) ->
    receive {token, N} -> Collector ! {swallowed, N}, link(Next, Collector, 0, Fresh) end;
link(Next, Collector, Left, true) ->
    receive {token, N} -> Next ! {token, N + 1}, link(Next, Collector, Left - 1, true) end;
link(Next, Collector, Left, false) ->
    receive Token -> Next ! Token, link(Next, Collector, Left - 1, false) end.

%% --- W4, W5, W7

sleeper(Recorder, Woken) ->
    receive {wake, At} -> Recorder ! {latency, os:system_time(nanosecond) - At}, sleeper(Recorder, Woken + 1) end.

sleepers(Agents) ->
    Me = self(),
    list_to_tuple([spawn(fun() -> sleeper(Me, 0) end) || _ <- lists:seq(1, Agents)]).

dormant(P) ->
    Agents = number("agents", P),
    Before = rss(),
    Began = now_ns(),
    Boxes = sleepers(Agents),
    Seconds = since(Began),
    timer:sleep(100),
    After = rss(),
    Idle = number("idle_s", P),
    Cpu = ticks(),
    timer:sleep(round(Idle * 1000)),
    Percent = 100 * (ticks() - Cpu) / 100 / Idle,
    Agents = tuple_size(Boxes),
    [{"count", Agents}, {"seconds", Seconds}, {"bytes_each", (After - Before) / Agents}, {"rss_mb", After / 1.0e6},
     {"idle_cpu_percent", Percent}].

wake(P) ->
    Agents = number("agents", P),
    Count = number("count", P),
    Boxes = sleepers(Agents),
    [Box ! {wake, 0} || Box <- tuple_to_list(Boxes)],
    latencies(Agents, []),
    case number("flood", P) of
        1 -> Victim = spawn(fun drain/0), spawn(fun() -> flooder(Victim) end);
        0 -> ok
    end,
    Me = self(),
    spawn(fun() -> read_wakes(maps:get("socket", P), Boxes), Me ! read end),
    receive read -> ok end,
    [{"count", Count}, {"latencies_ns", latencies(Count, [])}].

latencies(0, Out) -> Out;
latencies(Left, Out) -> receive {latency, Ns} -> latencies(Left - 1, [Ns | Out]) end.

read_wakes(Path, Boxes) ->
    {ok, Socket} = gen_tcp:connect({local, Path}, 0, [binary, {active, false}]),
    ok = gen_tcp:send(Socket, <<"r">>),
    read_frames(Socket, Boxes).

read_frames(Socket, Boxes) ->
    case gen_tcp:recv(Socket, 16) of
        {ok, <<Agent:64/little, At:64/little>>} -> element(Agent + 1, Boxes) ! {wake, At}, read_frames(Socket, Boxes);
        {error, closed} -> ok
    end.

%% Mailboxes have no bound here, so the flooder keeps to ours.
flooder(Victim) ->
    {message_queue_len, Waiting} = process_info(Victim, message_queue_len),
    case Waiting < ?MAILBOX of
        true -> [Victim ! {drop, 0} || _ <- lists:seq(1, ?FLOOD)];
        false -> erlang:yield()
    end,
    flooder(Victim).

drain() -> receive _ -> drain() end.

rss() ->
    {ok, Text} = file:read_file("/proc/self/smaps_rollup"),
    {match, [Kb]} = re:run(Text, "Rss: +([0-9]+)", [{capture, all_but_first, list}]),
    list_to_integer(Kb) * 1024.

%% Processor time of all threads, 100 a second.
ticks() ->
    {ok, Text} = file:read_file("/proc/self/stat"),
    Fields = string:lexemes(lists:last(string:split(Text, ")", trailing)), " "),
    binary_to_integer(lists:nth(12, Fields)) + binary_to_integer(lists:nth(13, Fields)).
