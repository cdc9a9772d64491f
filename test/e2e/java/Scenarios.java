import com.google.gson.Gson;
import com.microsoft.signalr.HttpHubConnectionBuilder;
import com.microsoft.signalr.HubConnection;
import com.microsoft.signalr.HubConnectionBuilder;
import com.microsoft.signalr.HubConnectionState;
import com.microsoft.signalr.TransportEnum;
import com.microsoft.signalr.TypeReference;
import io.reactivex.rxjava3.core.Observable;
import io.reactivex.rxjava3.core.Single;
import io.reactivex.rxjava3.disposables.Disposable;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * What com.microsoft.signalr can do, against the hub of test/conformance. Each scenario is reported
 * as one line of JSON; java_test.go reads them.
 *
 * <p>java -cp 'target/lib/*' Scenarios.java URL WebSockets|LongPolling [only]
 */
public class Scenarios {
    interface Scenario {
        void run() throws Exception;
    }

    /** Says why a scenario cannot be run. */
    static class Skip extends RuntimeException {
        Skip(String why) {
            super(why);
        }
    }

    static final long WAIT = 20; // seconds, for anything
    static String base;
    static TransportEnum transport;
    static final Gson gson = new Gson();
    static final Map<String, Scenario> scenarios = new LinkedHashMap<>();
    static final List<HubConnection> opened = new ArrayList<>();

    static class Person {
        String name;
        int age;
        String[] tags;
        String nick;

        Person() {}

        Person(String name, int age, String... tags) {
            this.name = name;
            this.age = age;
            this.tags = tags;
        }

        @Override
        public String toString() {
            return name + "|" + age + "|" + Arrays.toString(tags) + "|" + nick;
        }
    }

    public static void main(String[] args) throws Exception {
        base = args[0];
        transport = args[1].equals("LongPolling") ? TransportEnum.LONG_POLLING : TransportEnum.WEBSOCKETS;
        String only = args.length > 2 ? args[2] : "";
        all();
        for (Map.Entry<String, Scenario> s : scenarios.entrySet()) {
            if (only.isEmpty() || s.getKey().matches(".*(" + only + ").*")) {
                run(s.getKey(), s.getValue());
            }
        }
        System.out.println("{\"done\":true}");
        System.exit(0); // OkHttp's threads linger
    }

    static void run(String name, Scenario s) {
        Map<String, Object> report = new LinkedHashMap<>();
        report.put("name", name);
        long began = System.nanoTime();
        try {
            s.run();
            report.put("ok", true);
        } catch (Skip e) {
            report.put("skip", e.getMessage());
        } catch (Throwable e) {
            StringBuilder text = new StringBuilder(e.toString());
            for (StackTraceElement at : e.getStackTrace()) {
                if (at.getClassName().startsWith("Scenarios")) {
                    text.append("\n  at ").append(at.getMethodName()).append(":").append(at.getLineNumber());
                }
            }
            report.put("ok", false);
            report.put("error", text.toString());
        }
        report.put("ms", (System.nanoTime() - began) / 1_000_000);
        for (HubConnection c : opened) {
            try {
                c.stop().blockingAwait(WAIT, TimeUnit.SECONDS);
            } catch (RuntimeException e) {
                // it has ended before
            }
        }
        opened.clear();
        System.out.println(gson.toJson(report));
    }

    // What scenarios are made of.

    static HttpHubConnectionBuilder builder(String path) {
        return HubConnectionBuilder.create(base + path).withTransport(transport);
    }

    static HubConnection start(HubConnection c) {
        opened.add(c);
        if (!c.start().blockingAwait(WAIT, TimeUnit.SECONDS)) {
            throw new AssertionError("start does not end");
        }
        return c;
    }

    static HubConnection dial(String path) {
        return start(builder(path).build());
    }

    static HubConnection dial() {
        return dial("/conformance");
    }

    static <T> T call(HubConnection c, Class<T> type, String method, Object... args) {
        return c.invoke(type, method, args).timeout(WAIT, TimeUnit.SECONDS).blockingGet();
    }

    static void act(HubConnection c, String method, Object... args) {
        c.invoke(method, args).timeout(WAIT, TimeUnit.SECONDS).blockingAwait();
    }

    static void equal(Object got, Object want) {
        if (!Objects.deepEquals(got, want)) {
            throw new AssertionError("got " + got + ", want " + want);
        }
    }

    static String failure(Scenario s) {
        try {
            s.run();
        } catch (Throwable e) {
            return e.getMessage();
        }
        throw new AssertionError("no failure");
    }

    static <T> T next(BlockingQueue<T> q) throws InterruptedException {
        T v = q.poll(WAIT, TimeUnit.SECONDS);
        if (v == null) {
            throw new AssertionError("nothing came");
        }
        return v;
    }

    static BlockingQueue<String> received(HubConnection c) {
        BlockingQueue<String> q = new LinkedBlockingQueue<>();
        c.on("Receive", (m) -> q.add(m), String.class);
        return q;
    }

    static BlockingQueue<String> closed(HubConnection c) {
        BlockingQueue<String> q = new LinkedBlockingQueue<>();
        c.onClosed((e) -> q.add(e == null ? "none" : String.valueOf(e.getMessage())));
        return q;
    }

    static String token(String user, long seconds) throws Exception {
        Base64.Encoder enc = Base64.getUrlEncoder().withoutPadding();
        String head = enc.encodeToString("{\"alg\":\"HS256\",\"typ\":\"JWT\"}".getBytes(StandardCharsets.UTF_8));
        Map<String, Object> claims = new HashMap<>();
        claims.put("sub", user);
        claims.put("iss", "conformance");
        claims.put("aud", "conformance");
        claims.put("exp", System.currentTimeMillis() / 1000 + seconds);
        String body = enc.encodeToString(gson.toJson(claims).getBytes(StandardCharsets.UTF_8));
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec("conformance-key-of-at-least-32-bytes!".getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
        return head + "." + body + "." + enc.encodeToString(mac.doFinal((head + "." + body).getBytes(StandardCharsets.UTF_8)));
    }

    static void all() {
        scenarios.put("values", () -> {
            HubConnection c = dial();
            for (String s : new String[] {"", "plain", "é ü \u2028 \uD83D\uDE00", "<>&\"'\\\u001e"}) {
                equal(call(c, String.class, "EchoString", s), s);
            }
            equal(call(c, Integer.class, "EchoInt", Integer.MIN_VALUE), Integer.MIN_VALUE);
            equal(call(c, Long.class, "EchoLong", Long.MAX_VALUE), Long.MAX_VALUE);
            equal(call(c, Double.class, "EchoDouble", -0.1), -0.1);
            equal(call(c, Boolean.class, "EchoBool", true), true);
            equal(call(c, String.class, "EchoNullable", "x"), "x");
            equal(call(c, String.class, "Join3", "a", 1, true), "a|1|True");
            equal(call(c, String.class, "renamed", "x"), "x");
            act(c, "Nothing");
        });
        scenarios.put("objects", () -> {
            HubConnection c = dial();
            Person ada = new Person("Ada", 36, "x", "y");
            equal(call(c, Person.class, "EchoPerson", ada).toString(), ada.toString());
            Person[] people = call(c, Person[].class, "EchoPeople", (Object) new Person[] {ada, new Person("Bob", 1)});
            equal(people.length, 2);
            equal(people[1].name, "Bob");
            Map<String, Integer> map = new HashMap<>();
            map.put("a", 1);
            map.put("Ä", -2);
            Single<Map<String, Integer>> got = c.invoke(new TypeReference<Map<String, Integer>>() {}.getType(), "EchoMap", map);
            equal(got.timeout(WAIT, TimeUnit.SECONDS).blockingGet(), map);
        });
        scenarios.put("connection id", () -> {
            HubConnection c = dial();
            equal(call(c, String.class, "ConnectionId"), c.getConnectionId());
        });
        scenarios.put("errors", () -> {
            HubConnection c = dial();
            equal(failure(() -> act(c, "Fail", "secret")), "An unexpected error occurred invoking 'Fail' on the server.");
            equal(failure(() -> act(c, "FailHub", "m")), "An unexpected error occurred invoking 'FailHub' on the server. HubException: m");
            equal(failure(() -> act(c, "Unknown")), "Failed to invoke 'Unknown' due to an error on the server. HubException: Method does not exist.");
            equal(failure(() -> call(c, Integer.class, "EchoInt", "text")), "Failed to invoke 'EchoInt' due to an error on the server.");
            HubConnection d = dial("/detailed");
            equal(failure(() -> act(d, "Fail", "m")), "An unexpected error occurred invoking 'Fail' on the server. InvalidOperationException: m");
        });
        scenarios.put("many calls", () -> {
            HubConnection c = dial();
            List<Single<Integer>> calls = new ArrayList<>();
            for (int i = 0; i < 200; i++) {
                calls.add(c.invoke(Integer.class, "EchoInt", i));
            }
            for (int i = 0; i < 200; i++) {
                equal(calls.get(i).timeout(WAIT, TimeUnit.SECONDS).blockingGet(), i);
            }
        });
        scenarios.put("sends", () -> {
            HubConnection a = builder("/conformance").build();
            HubConnection b = builder("/conformance?user=bob").build();
            BlockingQueue<String> atA = received(a);
            BlockingQueue<String> atB = received(b);
            start(a);
            start(b);
            a.send("ToCaller", "1");
            equal(next(atA), "1");
            act(a, "ToOthers", "2");
            equal(next(atB), "2");
            act(a, "ToClient", b.getConnectionId(), "3");
            equal(next(atB), "3");
            act(a, "ToUser", "bob", "4");
            equal(next(atB), "4");
            act(a, "ToAll", "5");
            equal(next(atA), "5");
            equal(next(atB), "5");
            act(a, "ToCallerMany", 50);
            for (int i = 0; i < 50; i++) {
                equal(next(atA), String.valueOf(i));
            }
        });
        scenarios.put("groups", () -> {
            HubConnection a = builder("/conformance").build();
            HubConnection b = builder("/conformance").build();
            BlockingQueue<String> atA = received(a);
            BlockingQueue<String> atB = received(b);
            start(a);
            start(b);
            act(a, "AddTo", "room");
            act(b, "AddTo", "room");
            act(a, "ToGroup", "room", "1");
            equal(next(atA), "1");
            equal(next(atB), "1");
            act(a, "ToOthersInGroup", "room", "2");
            act(b, "RemoveFrom", "room");
            act(a, "ToGroup", "room", "3");
            equal(next(atA), "3");
            act(a, "ToAll", "4");
            equal(next(atB), "2");
            equal(next(atB), "4");
        });
        scenarios.put("several arguments", () -> {
            HubConnection c = builder("/conformance").build();
            BlockingQueue<String> q = new LinkedBlockingQueue<>();
            c.on("Many", (s, n, yes, none, p) -> q.add(s + "," + n + "," + yes + "," + none + "," + p),
                    String.class, Integer.class, Boolean.class, String.class, Person.class);
            start(c);
            act(c, "ToCallerArgs");
            equal(next(q), "a,1,true,null,Ada|36|[x, y]|null");
        });
        scenarios.put("streams", () -> {
            HubConnection c = dial();
            equal(c.stream(Integer.class, "Count", 5).timeout(WAIT, TimeUnit.SECONDS).toList().blockingGet(), Arrays.asList(0, 1, 2, 3, 4));
            equal(c.stream(Integer.class, "CountChannel", 2).timeout(WAIT, TimeUnit.SECONDS).toList().blockingGet(), Arrays.asList(0, 1));
            equal(c.stream(Integer.class, "EmptyStream").timeout(WAIT, TimeUnit.SECONDS).toList().blockingGet(), new ArrayList<Integer>());
            // The client lets an error overtake items, so they are not looked at.
            equal(failure(() -> c.stream(Integer.class, "CountThenFailHub", 2).timeout(WAIT, TimeUnit.SECONDS).blockingForEach((i) -> {})),
                    "An error occurred on the server while streaming results. HubException: stream failed");
        });
        scenarios.put("cancel a stream", () -> {
            HubConnection c = dial();
            long before = call(c, Long.class, "Cancelled");
            BlockingQueue<Integer> q = new LinkedBlockingQueue<>();
            Disposable d = c.<Integer>stream(Integer.class, "Forever").subscribe(q::add, (e) -> {});
            equal(next(q), 0);
            equal(next(q), 1);
            d.dispose();
            for (int i = 0; call(c, Long.class, "Cancelled") <= before; i++) {
                if (i > 400) {
                    throw new AssertionError("the stream goes on");
                }
                Thread.sleep(25);
            }
        });
        scenarios.put("uploads", () -> {
            if (transport == TransportEnum.LONG_POLLING) {
                throw new Skip("the client posts items side by side, and loses their order");
            }
            HubConnection c = dial();
            equal(call(c, Integer.class, "Sum", Observable.range(1, 100)), 5050);
            equal(call(c, String.class, "Concat", Observable.just("a", "b", "c")), "abc");
            equal(call(c, String.class, "Mixed", "<", Observable.just(1, 2), ">", Observable.just("x", "y")), "<:3:xy:>");
            equal(c.stream(Integer.class, "Mirror", Observable.just(1, 2, 3)).timeout(WAIT, TimeUnit.SECONDS).toList().blockingGet(), Arrays.asList(2, 4, 6));
            equal(call(c, Integer.class, "TakeTwo", Observable.just(1, 2, 3, 4)), 3);
        });
        scenarios.put("client results", () -> {
            HubConnection c = builder("/conformance").build();
            c.onWithResult("Answer", (q) -> Single.just("to " + q), String.class);
            start(c);
            equal(call(c, String.class, "Ask", "x"), "to x");
            HubConnection d = dial();
            equal(call(d, String.class, "AskClient", c.getConnectionId(), "y"), "to y");
            equal(failure(() -> call(d, String.class, "Ask", "z")), "An unexpected error occurred invoking 'Ask' on the server. HubException: Client failed to parse argument(s).");
        });
        scenarios.put("a long message", () -> {
            HubConnection c = builder("/conformance").build();
            BlockingQueue<String> q = received(c);
            start(c);
            String big = "ä".repeat(15_000);
            act(c, "ToCaller", big);
            equal(next(q), big);
        });
        scenarios.put("too long a message", () -> {
            HubConnection c = builder("/small").build();
            BlockingQueue<String> end = closed(c);
            start(c);
            c.send("EchoString", "x".repeat(2000));
            equal(next(end), "Connection closed with an error.");
            equal(c.getConnectionState(), HubConnectionState.DISCONNECTED);
        });
        scenarios.put("ended by the server, and started again", () -> {
            HubConnection c = builder("/conformance").build();
            BlockingQueue<String> end = closed(c);
            start(c);
            String first = c.getConnectionId();
            c.send("Abort");
            equal(next(end), "none");
            start(c);
            equal(call(c, String.class, "EchoString", "again"), "again");
            if (first.equals(c.getConnectionId())) {
                throw new AssertionError("the same connection id");
            }
        });
        scenarios.put("refused by the hub", () -> {
            HubConnection c = builder("/conformance?refuse=1").build();
            BlockingQueue<String> end = closed(c);
            start(c);
            equal(next(end), "Connection closed with an error.");
        });
        scenarios.put("tokens", () -> {
            HubConnection c = start(builder("/authorized").withAccessTokenProvider(Single.defer(() -> Single.just(token("ann", 60)))).build());
            equal(call(c, String.class, "UserId"), "ann");
            String text = failure(() -> dial("/authorized"));
            if (!text.contains("401")) {
                throw new AssertionError(text);
            }
        });
        scenarios.put("the transport that is left", () -> {
            for (String path : new String[] {"/ws-only", "/lp-only"}) {
                HubConnection c = start(HubConnectionBuilder.create(base + path).build());
                equal(call(c, String.class, "EchoString", path), path);
            }
            equal(failure(() -> start(HubConnectionBuilder.create(base + "/sse-only").build())), "There were no compatible transports on the server.");
        });
        scenarios.put("without negotiation", () -> {
            HubConnection c = start(HubConnectionBuilder.create(base + "/conformance").withTransport(TransportEnum.WEBSOCKETS).shouldSkipNegotiate(true).build());
            equal(call(c, String.class, "EchoString", "x"), "x");
        });
    }
}
