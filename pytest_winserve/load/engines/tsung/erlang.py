"""Erlang for the evaluated parts of tsung's configuration."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

# Texts are binaries in UTF-8. The values and cookies of a user are in its process: tsung's own
# cookies are taken away from it after each answer that set some. That is asked of its gen_fsm by
# the message of OTP's sys:replace_state, which comes to its turn at the next pause.
FUNS = r"""
fun(_) ->
  put(winserve_began, erlang:monotonic_time(milli_seconds)),
  put(winserve_page, <<>>),
  put(winserve_name, fun(Parts) ->
    list_to_atom(lists:flatten(["winserve", [io_lib:format("_~w", [Part]) || Part <- Parts]]))
  end),
  put(winserve_row, fun(Var, Names, Vars) ->
    {ok, Line} = ts_dynvars:lookup(Var, Vars),
    Cells = binary:split(iolist_to_binary(Line), <<",">>, [global]),
    maps:from_list(lists:zip(Names, [base64:decode(Cell) || Cell <- Cells]))
  end),

  Percent = fun(Text, Safe) ->
    << <<(case (C >= $0 andalso C =< $9) orelse (C >= $A andalso C =< $Z)
               orelse (C >= $a andalso C =< $z) orelse lists:member(C, Safe) of
            true -> <<C>>;
            false -> iolist_to_binary(io_lib:format("%~2.16.0B", [C]))
          end)/binary>> || <<C>> <= Text >>
  end,
  put(winserve_quoted, fun(Text) -> Percent(Text, "_.-~") end),
  put(winserve_part, fun(Text) -> Percent(Text, "_.-~%/:?&=+;,@!$'()*[]") end),
  put(winserve_form, fun(Text) ->
    binary:replace(Percent(Text, "_.-~ "), <<32>>, <<"+">>, [global])
  end),
  put(winserve_plain, fun(Text) -> Text end),
  Unit = fun(C) -> io_lib:format("\\u~4.16.0b", [C]) end,
  put(winserve_json, fun(Text) ->
    iolist_to_binary([case C of
      $" -> "\\\""; $\\ -> "\\\\"; 8 -> "\\b"; 9 -> "\\t"; 10 -> "\\n"; 12 -> "\\f"; 13 -> "\\r";
      _ when C > 16#FFFF ->
        D = C - 16#10000, [Unit(16#D800 + (D bsr 10)), Unit(16#DC00 + (D band 16#3FF))];
      _ when C < 32; C > 126 -> Unit(C);
      _ -> C
    end || C <- unicode:characters_to_list(Text)])
  end),
  put(winserve_header, fun(Text) ->
    << <<(case C > 255 of true -> $?; false -> C end)>>
       || C <- unicode:characters_to_list(Text), C =:= 9 orelse (C >= 32 andalso C =/= 127) >>
  end),

  put(winserve_read, fun(Raw) ->
    [Head | Rest] = binary:split(Raw, <<13, 10, 13, 10>>),
    [_ | Lines] = binary:split(Head, <<13, 10>>, [global]),
    Fields = [{string:lowercase(Name), string:trim(Text)}
              || Line <- Lines, [Name, Text] <- [binary:split(Line, <<":">>)]],
    Body = iolist_to_binary(Rest),
    {Fields, case unicode:characters_to_binary(Body) of
      Good when is_binary(Good) -> Good;
      _ -> unicode:characters_to_binary(Body, latin1)
    end}
  end),
  Entity = fun
    (<<"amp">>) -> "&"; (<<"lt">>) -> "<"; (<<"gt">>) -> ">"; (<<"quot">>) -> [34];
    (<<"apos">>) -> [39]; (<<"nbsp">>) -> [160];
    (<<"#x", Hex/binary>>) -> [binary_to_integer(Hex, 16)];
    (<<"#X", Hex/binary>>) -> [binary_to_integer(Hex, 16)];
    (<<"#", Number/binary>>) -> [binary_to_integer(Number)]
  end,
  Unescape = fun(Text) ->
    Parts = re:split(Text, <<"&(amp|lt|gt|quot|apos|nbsp|#[0-9]{1,6}|#[xX][0-9a-fA-F]{1,5});">>),
    Turns = lists:seq(1, length(Parts)),
    iolist_to_binary([case Turn rem 2 of
      1 -> Part;
      0 ->
        case unicode:characters_to_binary(Entity(Part)) of
          Good when is_binary(Good) -> Good;
          _ -> <<239, 191, 189>>
        end
    end || {Turn, Part} <- lists:zip(Turns, Parts)])
  end,
  In = fun(Wanted, Text) -> Wanted =:= <<>> orelse binary:match(Text, Wanted) =/= nomatch end,
  put(winserve_in, In),
  put(winserve_has, fun(Wanted, Body) -> In(Wanted, Body) orelse In(Wanted, Unescape(Body)) end),
  put(winserve_find, fun(Pattern, Body, Html) ->
    case re:run(Body, Pattern, [unicode, ucp, {capture, [1], index}]) of
      {match, [{At, Size}]} when At >= 0 ->
        Found = binary:part(Body, At, Size),
        case Html of true -> Unescape(Found); false -> Found end;
      _ -> none
    end
  end),
  put(winserve_take, fun
    (_, none) -> false;
    (Name, Text) -> put(winserve_values, maps:put(Name, Text, get(winserve_values))), true
  end),
  put(winserve_unmet, fun(Checks) ->
    lists:foldl(
      fun({K, Check}, none) -> case Check() of true -> none; false -> K end; (_, K) -> K end,
      none, lists:zip(lists:seq(0, length(Checks) - 1), Checks))
  end),

  Within = fun(Path, Folder) ->
    Size = byte_size(Folder),
    case Path of
      Folder -> true;
      <<Folder:Size/binary, Next, _/binary>> -> binary:last(Folder) =:= $/ orelse Next =:= $/;
      _ -> false
    end
  end,
  put(winserve_cookies, fun(Place) ->
    [Path | _] = binary:split(Place, <<"?">>),
    Now = erlang:system_time(milli_seconds),
    Sent = [{-byte_size(Folder), [Name, "=", Text]}
            || {Name, Folder, Text, Ends, Secure} <- get(winserve_jar),
               Ends > Now, @SECURE@ orelse not Secure, Within(Path, Folder)],
    case lists:keysort(1, Sent) of
      [] -> <<>>;
      Sorted -> [<<13, 10, "Cookie: ">>, lists:join("; ", [Text || {_, Text} <- Sorted])]
    end
  end),
  Seconds = fun(Text) ->
    Form = <<"^\\w+, *(\\d{1,2})[- ](\\w{3})[- ](\\d{4}) (\\d\\d):(\\d\\d):(\\d\\d) GMT$">>,
    case re:run(Text, Form, [{capture, all_but_first, binary}]) of
      {match, [Day, Name, Year, Hour, Minute, Second]} ->
        Names = [<<"jan">>, <<"feb">>, <<"mar">>, <<"apr">>, <<"may">>, <<"jun">>, <<"jul">>,
                 <<"aug">>, <<"sep">>, <<"oct">>, <<"nov">>, <<"dec">>],
        Before = lists:takewhile(fun(Each) -> Each =/= string:lowercase(Name) end, Names),
        [D, Y, H, M, S] = [binary_to_integer(T) || T <- [Day, Year, Hour, Minute, Second]],
        (calendar:datetime_to_gregorian_seconds({{Y, length(Before) + 1, D}, {H, M, S}})
          - 62167219200) * 1000;
      _ -> inexact
    end
  end,
  put(winserve_set, fun(Header) ->
    [Pair | Rest] = binary:split(Header, <<";">>, [global]),
    Attributes = [case binary:split(Each, <<"=">>) of
      [Key, Text] -> {string:lowercase(string:trim(Key)), string:trim(Text)};
      [Key] -> {string:lowercase(string:trim(Key)), <<>>}
    end || Each <- Rest],
    Now = erlang:system_time(milli_seconds),
    Of = fun(Key) -> lists:keyfind(Key, 1, Attributes) end,
    Ends = case {Of(<<"max-age">>), Of(<<"expires">>)} of
      {{_, Age}, _} ->
        case re:run(Age, <<"^-?[0-9]{1,12}$">>) of
          nomatch -> inexact;
          _ -> Now + binary_to_integer(Age) * 1000
        end;
      {_, {_, Text}} -> Seconds(Text);
      _ -> infinity
    end,
    [Here | _] = binary:split(get(winserve_path), <<"?">>),
    Folder = case Of(<<"path">>) of
      false ->
        case lists:droplast(binary:split(Here, <<"/">>, [global])) of
          [<<>>] -> <<"/">>;
          Folders -> iolist_to_binary(lists:join(<<"/">>, Folders))
        end;
      {_, Given} ->
        case re:run(Given, <<"^/[A-Za-z0-9/_.~-]*$">>) of nomatch -> inexact; _ -> Given end
    end,
    Unknown = [<<"domain">>, <<"version">>, <<"port">>],
    Others = [Key || {Key, _} <- Attributes, lists:member(Key, Unknown)],
    case binary:split(Pair, <<"=">>) of
      [Named, Value] ->
        Name = string:trim(Named),
        Jar = get(winserve_jar),
        Secure = Of(<<"secure">>) =/= false,
        New = {Name, Folder, string:trim(Value), Ends, Secure},
        Same = fun(Each) -> element(1, Each) =:= Name andalso element(2, Each) =:= Folder end,
        case {Name, Ends =:= inexact orelse Folder =:= inexact orelse Others =/= []} of
          {<<>>, _} -> ok;
          {_, true} ->
            ts_mon_cache:add({count, list_to_atom("winserve_inexact_" ++ binary_to_list(Name))});
          _ when Ends =< Now -> put(winserve_jar, [Each || Each <- Jar, not Same(Each)]);
          _ ->
            put(winserve_jar, case lists:any(Same, Jar) of
              true -> [case Same(Each) of true -> New; false -> Each end || Each <- Jar];
              false -> Jar ++ [New]
            end)
        end;
      _ -> ok
    end
  end),
  put(winserve_forget, fun(Http) ->
    case element(tuple_size(Http), Http) of
      [] -> false;
      _ ->
        Emptied = fun
          (Each) when is_tuple(Each), tuple_size(Each) > 0, element(1, Each) =:= http ->
            setelement(tuple_size(Each), Each, []);
          (Each) -> Each
        end,
        Replace = fun({Name, State}) ->
          {Name, list_to_tuple(lists:map(Emptied, tuple_to_list(State)))}
        end,
        Nobody = spawn(fun() -> ok end),
        self() ! {system, {Nobody, make_ref()}, {replace_state, Replace}},
        true
    end
  end),
  ts_mon_cache:add({sample, winserve_began, erlang:system_time(milli_seconds)}), 0
end."""


def evaluated(code: str, *names: str) -> str:
    """A step of a session that evaluates a fun, which gives the variables of these names."""
    text = quoteattr(" ".join(code.split()))
    variables = "".join(f'<var name="{name}"/>' for name in names)
    return f'<setdynvars sourcetype="eval" code={text}>{variables}</setdynvars>'


def binary(text: str, encoding: str = "utf-8") -> str:
    """A text as Erlang writes a binary."""
    data = text.encode(encoding, "replace" if encoding == "latin-1" else "surrogateescape")
    return f"<<{','.join(map(str, data))}>>"
