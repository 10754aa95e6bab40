//! Commands, flags and variables: what is accepted, and one line for what is not.

use std::collections::BTreeMap;

use galo_testkit::{data_dir, on_both_drivers, Launch, Server};

const FLAGS: [&str; 19] = [
    "listen",
    "data",
    "cores",
    "pin",
    "io",
    "durability",
    "clients",
    "shards",
    "allow-reset",
    "processor-default",
    "processor-fallback",
    "payment-deadline",
    "payment-queue",
    "replace-processors",
    "nodes",
    "node",
    "run",
    "log",
    "log-level",
];

#[test]
fn help_is_short_and_that_of_a_command_is_all() {
    let run = |args: &[&str]| {
        let launch = args
            .iter()
            .fold(Launch::bare(), |launch, arg| launch.arg(arg));
        let help = launch.run().good();
        assert!(
            help.lines().all(|line| line.chars().count() <= 80),
            "{help}"
        );
        help
    };
    for arg in ["--help", "-h", "help"] {
        let help = run(&[arg]);
        assert!(help.lines().count() <= 26, "a screen: {help}");
        for word in [
            "serve",
            "check",
            "healthcheck",
            "--listen",
            "127.0.0.1:9999",
            "galo help serve",
        ] {
            assert!(help.contains(word), "{word}");
        }
    }
    for args in [&["help", "cluster"][..], &["cluster", "status", "-h"]] {
        let help = run(args);
        for word in [
            "galo cluster status",
            "--replicate URLS",
            "GALO_CLUSTER",
            "exit 1",
        ] {
            assert!(help.contains(word), "{word}");
        }
        assert!(!help.contains("--listen"), "{help}");
    }
    for args in [["help", "serve"], ["serve", "--help"], ["serve", "-h"]] {
        let help = run(&args);
        for flag in FLAGS {
            let variable = format!("GALO_{}", flag.to_uppercase().replace('-', "_"));
            assert!(help.contains(&format!("--{flag}")), "{flag}");
            assert!(help.contains(&variable), "{variable}");
        }
        for word in ["serve", "127.0.0.1:9999", "/health", "SIGTERM"] {
            assert!(help.contains(word), "{word}");
        }
    }
}

#[test]
fn version_names_version_commit_and_drivers() {
    for arg in ["--version", "-V", "version"] {
        let version = Launch::bare().arg(arg).run().good();
        assert_eq!(version.lines().count(), 1);
        for word in [env!("CARGO_PKG_VERSION"), "uring", "epoll"] {
            assert!(version.contains(word), "{word} is not in {version}");
        }
    }
}

#[test]
fn what_is_not_accepted_is_named_with_what_is() {
    let cases: [(&[&str], &[&str]); 36] = [
        (&["--lisen", "x"], &["--lisen", "--listen"]),
        (
            &["serve", "--nada"],
            &["--nada", "--data", "galo help serve"],
        ),
        (&["-x"], &["-x", "galo help serve"]),
        (&["sirva"], &["sirva", "serve, check, healthcheck"]),
        (&["serve", "check"], &["check"]),
        (&["cluster"], &["cluster status"]),
        (&["cluster", "status"], &["--replicate", "missing"]),
        (&["--cores", "0"], &["--cores", "'0'", "1 to 64"]),
        (&["--cores", "x"], &["--cores", "'x'", "1 to 64"]),
        (&["--cores"], &["--cores", "missing"]),
        (&["--shards", "9999"], &["--shards", "'9999'", "1 to 1024"]),
        (&["--cores", "2", "--shards", "1"], &["--shards", "2 cores"]),
        (&["--io", "poll"], &["--io", "'poll'", "auto, uring, epoll"]),
        (&["--durability", "x"], &["--durability", "process, disk"]),
        (&["--log", "xml"], &["--log", "text, json"]),
        (&["--log-level", "x"], &["--log-level", "info, debug"]),
        (&["--listen", "9999"], &["--listen", "9999", "host:port"]),
        (&["--listen", "a:99999"], &["--listen", "0 to 65535"]),
        (&["check", "--cores", "1"], &["--cores", "--data"]),
        (
            &["--processor-default", "https://a"],
            &["--processor-default", "'https://a'", "TLS", "http://"],
        ),
        (
            &["--processor-fallback", "processor:8080"],
            &["--processor-fallback", "'processor:8080'", "http://HOST"],
        ),
        (
            &["--processor-fallback", "http://a:99999"],
            &["--processor-fallback", "1 to 65535"],
        ),
        (
            &["--processor-default", "http://a"],
            &["--processor-fallback", "missing"],
        ),
        (
            &[
                "--processor-default=http://a",
                "--processor-fallback=http://a/",
            ],
            &["--processor-fallback", "http://a", "two"],
        ),
        (
            &["--payment-deadline", "1d"],
            &["--payment-deadline", "'1d'", "1ms to 24h"],
        ),
        (
            &["--payment-queue", "x"],
            &["--payment-queue", "'x'", "1 to 10000000"],
        ),
        (
            &["--cores", "1", "--io=auto", "--cores", "2"],
            &["--cores", "twice"],
        ),
        (&["--pin", "--pin=off"], &["--pin", "twice"]),
        (
            &["--listen", "127.0.0.1:1", "--listen", "127.0.0.1:1"],
            &["--listen", "127.0.0.1:1", "twice"],
        ),
        (
            &["--listen", "unix:@galo"],
            &["--listen", "unix:@galo", "abstract", "unix:/path"],
        ),
        (&["--allow-reset=x"], &["--allow-reset", "'x'", "yes or no"]),
        (&["--nodes", "a,B"], &["--nodes", "'B'", "a-z"]),
        (&["--nodes", "a,b,a"], &["--nodes", "'a'", "twice"]),
        (&["--node", "a/b"], &["--node", "'a/b'", "a-z"]),
        (&["--nodes", "a,b", "--node", "a"], &["--run", "missing"]),
        (
            &["--nodes", "a,b", "--node", "c", "--run", "r"],
            &["--node", "'c'", "a,b"],
        ),
    ];
    for (args, words) in cases {
        let launch = args
            .iter()
            .fold(Launch::bare(), |launch, arg| launch.arg(arg));
        launch.run().refused(2, words);
    }
    let outcome = Launch::bare().env("GALO_CORES", "many").run();
    outcome.refused(2, &["GALO_CORES", "'many'", "1 to 64"]);
    let outcome = Launch::bare()
        .env("DEFAULT_PAYMENT_PROCESSOR_URL", "a")
        .run();
    outcome.refused(2, &["DEFAULT_PAYMENT_PROCESSOR_URL", "'a'", "http://HOST"]);
    let outcome = Launch::bare().env("GALO_ALLOW_RESET", "perhaps").run();
    outcome.refused(2, &["GALO_ALLOW_RESET", "'perhaps'", "true"]);
    let outcome = Launch::bare().env("GALO_LISTEN", "unix:/a, unix:/a").run();
    outcome.refused(2, &["GALO_LISTEN", "unix:/a", "twice"]);
}

#[test]
fn variables_take_what_their_kind_usually_takes() {
    let dir = data_dir();
    let socket = dir.path().join("a blank.sock");
    let launch = || {
        Launch::bare()
            .env(
                "GALO_LISTEN",
                format!("127.0.0.1:0, unix:{}", socket.display()),
            )
            .env("GALO_DATA", dir.path().join("data"))
            .env("GALO_IO", "EPOLL")
            .env("GALO_CORES", " 1")
            .env("GALO_LOG_LEVEL", "INFO")
            .env("GALO_NODES", "a, b")
            .env("GALO_NODE", "a")
            .env("GALO_RUN", dir.path().join("run"))
            .env("GALO_ALLOW_RESET", "Yes")
    };
    let reset = |server: &Server| server.ask(&galo_testkit::post("/reset", "")).status;
    let server = launch().start_listening(2);
    assert_eq!(server.addresses.len(), 2);
    assert_eq!(reset(&server), 200);
    let log = server.stop();
    for words in ["node a of a,b", "I/O driver epoll", "cores: 1"] {
        assert!(
            log.iter().any(|line| line.contains(words)),
            "{words}: {log:?}"
        );
    }
    let server = launch().arg("--allow-reset=no").start_listening(2);
    assert_eq!(reset(&server), 403);
}

#[test]
fn what_has_no_effect_is_said() {
    let dir = data_dir();
    let data = dir.path().join("data");
    let launch = || {
        Launch::serve(&data)
            .flag("clients", "/nowhere/clients.json")
            .flag("payment-queue", "7")
    };
    launch()
        .run()
        .refused(1, &["/nowhere/clients.json", "cannot be read"]);
    Launch::serve(&data).start().stop();
    let server = launch().start();
    let log = server.log();
    let said = |words: &str| {
        let lines = log.iter().filter(|line| line.contains("WARN"));
        assert_eq!(
            lines.filter(|line| line.contains(words)).count(),
            1,
            "{log:?}"
        );
    };
    said("--clients /nowhere/clients.json is not read: ");
    said("--payment-queue has no effect without --processor-default and --processor-fallback");
    assert_eq!(
        server.balance(1),
        0,
        "it has the clients that it was made with"
    );
}

#[test]
fn a_flag_beats_its_variable_and_a_variable_the_default() {
    let dir = data_dir();
    let data = dir.path().join("by-variable");
    let with_variables = || {
        Launch::bare()
            .env("GALO_IO", "epoll")
            .env("GALO_CORES", "2")
            .env("GALO_DATA", &data)
            .env("GALO_ALLOW_RESET", "on")
            .env("GALO_LOG", "json")
            .env("GALO_DURABILITY", "disk")
            .env("GALO_SHARDS", "")
            .env("DEFAULT_PAYMENT_PROCESSOR_URL", "http://127.0.0.1:1/a/")
            .env("GALO_PROCESSOR_FALLBACK", "http://127.0.0.1:2")
    };
    let server = with_variables().start();
    let log = server.log();
    for line in &log {
        let json: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        assert!(json["message"].is_string() && json["time"].is_string());
    }
    let said = |log: &[String], words: &str| {
        assert!(
            log.iter().any(|line| line.contains(words)),
            "{words}: {log:?}"
        );
    };
    said(&log, "I/O driver epoll: --io epoll");
    said(&log, "cores: 2");
    said(&log, "durability disk");
    said(
        &log,
        "payments: default http://127.0.0.1:1/a, fallback http://127.0.0.1:2, \
         deadline 60s, at most 1000000 open in a shard",
    );
    said(&log, "by-variable: 5 accounts in 2 shards");
    assert_eq!(server.ask(&galo_testkit::post("/reset", "")).status, 200);
    server.stop();
    let server = with_variables()
        .flag("io", "uring")
        .flag("cores", "1")
        .flag("log", "text")
        .flag("durability", "process")
        .flag("processor-default", "http://localhost:3")
        .flag("payment-deadline", "1500ms")
        .start();
    let log = server.log();
    said(&log, "I/O driver uring: --io uring");
    said(&log, "cores: 1");
    said(&log, "durability process");
    said(
        &log,
        "payments: default http://localhost:3, fallback http://127.0.0.1:2, deadline 1.5s",
    );
    said(&log, "5 accounts in 2 shards");
    assert!(log.iter().all(|line| line.starts_with("20")), "{log:?}");
}

#[test]
fn listen_by_variable_is_a_list() {
    let dir = data_dir();
    let path = dir.path().join("galo.sock");
    let listen = format!("127.0.0.1:0,unix:{}", path.display());
    let server = Launch::bare()
        .env("GALO_LISTEN", listen)
        .env("GALO_DATA", dir.path().join("data"))
        .start_listening(2);
    assert_eq!(server.addresses.len(), 2);
    for address in &server.addresses {
        let mut connection = galo_testkit::Connection::open(address).unwrap();
        assert_eq!(connection.ask(&galo_testkit::get("/health")).status, 200);
    }
}

#[test]
fn data_is_kept_in_the_working_directory_by_default() {
    let dir = data_dir();
    let server = Launch::bare().current_dir(dir.path()).start();
    server.transact(1, 'c', 1, "um").posted();
    assert!(dir.path().join("data").is_dir());
}

#[test]
fn a_quiet_log_level_is_quiet() {
    let dir = data_dir();
    let path = dir.path().join("galo.sock");
    let mut server = Launch::serve(&dir.path().join("data"))
        .flag("log-level", "off")
        .flag("listen", format!("unix:{}", path.display()))
        .start_listening(0);
    let begin = std::time::Instant::now();
    while std::os::unix::net::UnixStream::connect(&path).is_err() {
        assert!(begin.elapsed() < galo_testkit::PATIENCE && server.is_running());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(server.log(), [""; 0]);
}

#[test]
fn pinned_threads_stay_on_one_cpu() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let server = Launch::driver(dir.path(), driver)
            .cores(2)
            .arg("--pin")
            .start();
        // Both cores work, so both have pinned themselves.
        server.transact(1, 'c', 1, "um").posted();
        server.transact(2, 'c', 1, "um").posted();
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
        // By name of the thread; one that only helps a core has inherited its name, not its CPU.
        let mut pinned = BTreeMap::new();
        for task in tasks {
            let status = std::fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.expect("a field").trim().to_owned()
            };
            if let Ok(cpu) = field("Cpus_allowed_list:").parse::<u32>() {
                pinned.insert(field("Name:"), cpu);
            }
        }
        let names: Vec<&String> = pinned.keys().collect();
        assert_eq!(names, ["galo/0", "galo/1"], "{pinned:?}");
    });
}

#[test]
fn healthcheck_tells_by_its_exit_status() {
    on_both_drivers(|driver| {
        let dir = data_dir();
        let path = dir.path().join("galo.sock");
        let unix = format!("unix:{}", path.display());
        let server = Launch::driver(&dir.path().join("data"), driver)
            .listen("127.0.0.1:0")
            .listen(&unix)
            .start();
        let tcp = server.address().tcp().to_owned();
        let check = |url: &str| {
            let launch = Launch::bare().arg("healthcheck").flag("url", url);
            // It has no business with data, and leaves none behind.
            let outcome = launch.current_dir(dir.path()).run();
            assert!(!dir.path().join("data/data").exists());
            outcome
        };
        assert_eq!(check(&format!("http://{tcp}/health")).good(), "");
        assert_eq!(check(&format!("http://{tcp}")).good(), "");
        assert_eq!(check(&tcp).good(), "");
        assert_eq!(check(&format!("{tcp}/")).good(), "");
        assert_eq!(check(&unix).good(), "");
        check(&format!("http://{tcp}/nada")).refused(1, &["404"]);
        check(&format!("{tcp}/nada")).refused(1, &["404"]);
        check("ftp://x").refused(1, &["ftp://x", "http://"]);
        check("unix:@galo").refused(1, &["unix:@galo", "abstract"]);
        server.stop();
        check(&format!("http://{tcp}/health")).refused(1, &[&tcp]);
        check(&unix).refused(1, &[&unix]);
    });
}
