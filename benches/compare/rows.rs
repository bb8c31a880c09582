//! Everything that is measured, of whom, and what is aimed at.

use crate::plan::{Aim, Bound, Figure, Row, Server, Setting};

use Server::{
    Banter, BanterMongo, Bun, InsertBare, InsertDriver, InsertStore, Node, Python, RawCoalesced,
    RawEach,
};

/// Members of a group unless a row is about their number.
const MEMBERS: &str = "200";

const fn aim(text: &'static str, top: Figure, bottom: Figure, bound: Bound) -> Aim {
    Aim { text, top, bottom: Some(bottom), bound }
}

const fn only(label: &'static str) -> Setting {
    Setting { label, servers: &[], env: &[], load: &[] }
}

const ONE: &[Setting] = &[only("")];
const CPU: (&str, &str) = ("µs CPU per delivery", "cpu_us_per_delivery");
const RATE: (&str, &str) = ("deliveries/s", "deliveries_per_second");
const SENDS: (&str, &str) = ("messages/s", "sends_per_second");
const SEND_CPU: (&str, &str) = ("µs CPU per message", "cpu_us_per_send");
const P50: (&str, &str) = ("p50 ms", "p50_ms");
const P99: (&str, &str) = ("p99 ms", "p99_ms");
const FAN_OUT: &[Server] = &[Banter, BanterMongo, Node, Bun, Python, RawEach, RawCoalesced];
const DURABLE: &[Server] = &[Banter, BanterMongo];
const OLD_BATCHES: &[(&str, &str)] = &[("BATCH_SIZE", "25")];
const LARGE_BUFFER: &[(&str, &str)] =
    &[("BUFFER_CAPACITY", "1000000"), ("BUFFER_BYTES", "1073741824")];
const LARGE_BATCHES: &[(&str, &str)] = &[("BATCH_SIZE", "500")];

const NO_ROW: Row = Row {
    name: "",
    title: "",
    about: "",
    servers: &[],
    load: &[],
    seconds: [10.0, 2.0],
    settings: ONE,
    is_counted: false,
    is_long: false,
    main: ("cpu_us_per_delivery", true),
    columns: &[],
    aims: &[],
};

/// Everything that can be measured, in the order of the document.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "fan-out-saturated",
        title: "Fan-out, saturated",
        about: "8 senders in a group of 200, each with 16 messages under way: as fast as the server goes.",
        servers: FAN_OUT,
        load: &["group", "--users", MEMBERS, "--senders", "8", "--window", "16"],
        columns: &[CPU, RATE, P50, P99],
        aims: SATURATED,
        ..NO_ROW
    },
    Row {
        name: "fan-out-closed",
        title: "Fan-out, one message at a time",
        about: "The same with one message under way per sender: fewer frames meet on their way to a \
                socket, and each message waits for its group commit.",
        servers: FAN_OUT,
        load: &["group", "--users", MEMBERS, "--senders", "8", "--window", "1"],
        columns: &[CPU, RATE, P50, P99],
        aims: SATURATED,
        ..NO_ROW
    },
    Row {
        name: "fan-out-paced",
        title: "Fan-out at 40,000 deliveries a second",
        about: "200 messages a second by 8 senders in a group of 200, at fixed times: frames hardly ever meet.",
        servers: FAN_OUT,
        load: &["group", "--users", MEMBERS, "--senders", "8", "--rate", "200"],
        columns: &[CPU, RATE, P50, P99],
        aims: &[
            aim("Node uses 1.3 times as much CPU", NODE_CPU, OUR_CPU, Bound::AtLeast(1.3)),
            aim("Python uses 3 times as much CPU", PYTHON_CPU, OUR_CPU, Bound::AtLeast(3.0)),
            aim("within 1.3 of raw frames", OUR_CPU, RAW_EACH, Bound::AtMost(1.3)),
        ],
        ..NO_ROW
    },
    Row {
        name: "fan-out-open",
        title: "Fan-out at 200,000 deliveries a second",
        about: "1,000 messages a second by 8 senders in a group of 200, sent at fixed times whether or not the \
                server keeps up; latency counts from those times.",
        servers: &[Banter, Node, Bun, Python, RawEach, RawCoalesced],
        load: &["group", "--users", MEMBERS, "--senders", "8", "--rate", "1000"],
        main: ("p99_ms", true),
        columns: &[P50, P99, RATE, CPU],
        aims: &[Aim {
            text: "p99 under 10 ms",
            top: (Banter, "", "p99_ms"),
            bottom: None,
            bound: Bound::AtMost(10.0),
        }],
        ..NO_ROW
    },
    Row {
        name: "direct",
        title: "Direct messages, without a database",
        about: "100 pairs write to each other, each user with 16 messages under way. Banter keeps every message \
                in its journal and its embedded store; the peers keep the last ones in memory. Its buffer is as \
                large as such a burst needs.",
        servers: &[Banter, Node, Bun, Python, RawEach, RawCoalesced],
        load: &["direct", "--users", MEMBERS, "--window", "16"],
        settings: &[
            Setting { servers: &[Banter], env: LARGE_BUFFER, ..only("") },
            Setting { servers: &[Node, Bun, Python, RawEach, RawCoalesced], ..only("") },
        ],
        main: ("sends_per_second", false),
        columns: &[SENDS, SEND_CPU, P50, P99],
        ..NO_ROW
    },
    Row {
        name: "direct-mongodb",
        title: "Direct messages with MongoDB",
        about: "The same, stored in a real MongoDB. What was sent is counted there afterwards. Each peer is \
                measured with batches of 25, as the system that Banter replaces writes them, and of 500. What \
                they have not written waits in memory, without a limit; so Banter's buffer is made as large as such \
                a burst needs.",
        servers: &[BanterMongo, Node, Bun, Python],
        load: &["direct", "--users", MEMBERS, "--window", "16"],
        settings: &[
            Setting { servers: &[BanterMongo], env: LARGE_BUFFER, ..only("") },
            Setting { servers: PEERS, env: OLD_BATCHES, ..only("batches of 25") },
            Setting { servers: PEERS, env: LARGE_BATCHES, ..only("batches of 500") },
        ],
        is_counted: true,
        main: ("sends_per_second", false),
        columns: &[
            SENDS,
            SEND_CPU,
            P50,
            P99,
            ("not stored", "not_stored"),
            ("stored twice", "stored_twice"),
        ],
        aims: &[
            aim(
                "3 times Node's rate with batches of 25",
                OUR_SENDS,
                (Node, "batches of 25", "sends_per_second"),
                Bound::AtLeast(3.0),
            ),
            aim(
                "3 times Node's rate",
                OUR_SENDS,
                (Node, "", "sends_per_second"),
                Bound::AtLeast(3.0),
            ),
            aim(
                "8 times Python's rate",
                OUR_SENDS,
                (Python, "", "sends_per_second"),
                Bound::AtLeast(8.0),
            ),
            aim(
                "Node uses 2.5 times as much CPU",
                (Node, "", "cpu_us_per_send"),
                (BanterMongo, "", "cpu_us_per_send"),
                Bound::AtLeast(2.5),
            ),
        ],
        ..NO_ROW
    },
    Row {
        name: "flush",
        title: "Writing to MongoDB in batches",
        about: "Batches of 500 messages, one or two at a time, write concern `majority` in the journal: the driver \
                alone, and Banter's flush of the same messages. No chat server runs beside it, and nothing is pinned.",
        servers: &[InsertBare, InsertDriver, InsertStore],
        seconds: [5.0, 1.0],
        settings: &[only("1 writer"), only("2 writers")],
        main: ("documents_per_second", false),
        columns: &[("documents/s", "documents_per_second")],
        aims: &[aim(
            "0.8 of `insert_many` with the same indexes",
            (InsertStore, "", "documents_per_second"),
            (InsertDriver, "", "documents_per_second"),
            Bound::AtLeast(0.8),
        )],
        ..NO_ROW
    },
    Row {
        name: "ack",
        title: "Durable acknowledgements at 1,000 messages a second",
        about: "50 pairs; every message is on the disk before it is acknowledged. A group commit is one write \
                and sync of the journal, as the server's own metrics have it.",
        servers: DURABLE,
        load: &["direct", "--users", "100", "--rate", "1000", "--acks", "--exact"],
        main: ("ack_p99_ms", true),
        columns: &[
            ("ack p50 ms", "ack_p50_ms"),
            ("ack p99 ms", "ack_p99_ms"),
            ("group commit mean ms", "commit_mean_ms"),
            ("group commit p99 ms, at most", "commit_p99_ms"),
            ("messages per commit", "commit_messages"),
        ],
        aims: &[aim(
            "p99 within 3 group commits of the mean length",
            (Banter, "", "ack_p99_ms"),
            (Banter, "", "commit_mean_ms"),
            Bound::AtMost(3.0),
        )],
        ..NO_ROW
    },
    Row {
        name: "idle",
        title: "Idle connections",
        about: "5,000 connections by WebSocket that say nothing: resident memory with them, less that without, \
                per connection.",
        servers: &[Banter, Node, Bun, Python, RawEach],
        load: &["idle", "--users", "5000"],
        seconds: [10.0, 3.0],
        main: ("bytes_per_connection", true),
        columns: &[
            ("bytes per connection", "bytes_per_connection"),
            ("connections", "connections"),
        ],
        aims: &[aim(
            "no more than Node",
            (Banter, "", "bytes_per_connection"),
            (Node, "", "bytes_per_connection"),
            Bound::AtMost(1.0),
        )],
        ..NO_ROW
    },
    Row {
        name: "soak",
        title: "10,000 idle connections and 1,000 messages a second",
        about: "Memory over time, while 100 further pairs write to each other. Growth is the mean of the last \
                fifth over that of the second fifth.",
        servers: &[Banter],
        load: &["idle", "--users", "10000", "--active", "100", "--rate", "1000"],
        seconds: [600.0, 10.0],
        is_long: true,
        main: ("memory_growth", true),
        columns: &[
            ("memory growth", "memory_growth"),
            ("peak MB", "memory_peak_mb"),
            SENDS,
            P99,
            ("connections", "connections"),
        ],
        aims: &[Aim {
            text: "memory grows by no more than 5 %",
            top: (Banter, "", "memory_growth"),
            bottom: None,
            bound: Bound::AtMost(1.05),
        }],
        ..NO_ROW
    },
    Row {
        name: "large-group",
        title: "A group of 10,000 members",
        about: "40,000 deliveries a second: 4 messages a second to 10,000 members, and 200 a second to 200. Raw \
                frames show what of the difference is the system's.",
        servers: &[Banter, RawEach],
        load: &["group", "--senders", "4"],
        settings: &[
            Setting { load: &["--users", "200", "--rate", "200"], ..only("200 members") },
            Setting { load: &["--users", "10000", "--rate", "4"], ..only("10,000 members") },
        ],
        columns: &[CPU, RATE, P50, P99],
        aims: &[aim(
            "within 1.3 of a group of 200",
            (Banter, "10,000 members", "cpu_us_per_delivery"),
            (Banter, "200 members", "cpu_us_per_delivery"),
            Bound::AtMost(1.3),
        )],
        ..NO_ROW
    },
];

const PEERS: &[Server] = &[Node, Bun, Python];
const OUR_CPU: Figure = (Banter, "", "cpu_us_per_delivery");
const NODE_CPU: Figure = (Node, "", "cpu_us_per_delivery");
const PYTHON_CPU: Figure = (Python, "", "cpu_us_per_delivery");
const RAW_EACH: Figure = (RawEach, "", "cpu_us_per_delivery");
const RAW_COALESCED: Figure = (RawCoalesced, "", "cpu_us_per_delivery");
const OUR_SENDS: Figure = (BanterMongo, "", "sends_per_second");
const SATURATED: &[Aim] = &[
    aim("Node uses 5 times as much CPU", NODE_CPU, OUR_CPU, Bound::AtLeast(5.0)),
    aim("Python uses 9 times as much CPU", PYTHON_CPU, OUR_CPU, Bound::AtLeast(9.0)),
    aim("within 1.25 of coalesced raw frames", OUR_CPU, RAW_COALESCED, Bound::AtMost(1.25)),
];
