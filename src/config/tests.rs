//! The command line and the environment.

use super::*;

fn parse_with(args: &[&str], variables: &[(&str, &str)]) -> Result<CliCommand, UsageError> {
    let variable = |name: &str| {
        variables
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| OsString::from(value))
    };
    parse(args.iter().map(OsString::from), variable)
}

fn serve(args: &[&str], variables: &[(&str, &str)]) -> Serve {
    match parse_with(args, variables) {
        Ok(CliCommand::Serve(serve)) => *serve,
        other => panic!("{other:?}"),
    }
}

fn error(args: &[&str]) -> String {
    parse_with(args, &[]).expect_err("refused").to_string()
}

#[test]
fn no_arguments_mean_serve_with_the_defaults() {
    let serve = serve(&[], &[]);
    assert_eq!(serve.listen, ["127.0.0.1:9999".parse().unwrap()]);
    assert_eq!(serve.data, PathBuf::from("./data"));
    assert_eq!(
        (serve.io, serve.durability),
        (DriverChoice::Auto, Durability::Process)
    );
    assert!(serve.cores >= 1 && !serve.pin && !serve.allow_reset && serve.shards.is_none());
    assert_eq!(serve.payments, None);
}

#[test]
fn a_flag_beats_its_variable_and_a_variable_the_default() {
    let variables = [
        ("GALO_CORES", "3"),
        ("GALO_IO", "epoll"),
        ("GALO_LISTEN", "127.0.0.1:1,unix:/tmp/x"),
        ("GALO_PIN", "on"),
        ("GALO_DATA", ""),
    ];
    let by_variable = serve(&[], &variables);
    assert_eq!(
        (by_variable.cores, by_variable.io, by_variable.pin),
        (3, DriverChoice::Epoll, true)
    );
    assert_eq!(by_variable.listen.len(), 2);
    assert_eq!(by_variable.data, PathBuf::from("./data"));
    let by_flag = serve(
        &[
            "serve",
            "--cores",
            "2",
            "--io=uring",
            "--listen",
            "127.0.0.1:2",
        ],
        &variables,
    );
    assert_eq!((by_flag.cores, by_flag.io), (2, DriverChoice::Uring));
    assert_eq!(by_flag.listen, ["127.0.0.1:2".parse().unwrap()]);
}

#[test]
fn a_bad_variable_stops_serve_and_nothing_else() {
    let variables = [("GALO_IO", "kqueue")];
    let error = parse_with(&[], &variables).unwrap_err().to_string();
    assert!(error.starts_with("GALO_IO: "), "{error}");
    assert_eq!(
        parse_with(&["--help"], &variables),
        Ok(CliCommand::Help(HelpPage::Short))
    );
    assert!(parse_with(&["check"], &variables).is_ok());
    assert!(parse_with(&["healthcheck"], &variables).is_ok());
}

#[test]
fn a_value_is_taken_as_its_kind_is_usually_written() {
    for (text, on) in [
        ("1", true),
        ("true", true),
        ("TRUE", true),
        ("Yes", true),
        ("y", true),
        ("On", true),
        (" on\r\n", true),
        ("0", false),
        ("False", false),
        ("NO", false),
        ("off", false),
        ("", false),
        (" ", false),
    ] {
        let by_variable = serve(&[], &[("GALO_ALLOW_RESET", text), ("GALO_PIN", text)]);
        assert_eq!(
            (by_variable.allow_reset, by_variable.pin),
            (on, on),
            "{text:?}"
        );
        if !text.trim().is_empty() {
            let flags = [format!("--allow-reset={text}"), format!("--pin={text}")];
            let by_flag = serve(&flags.each_ref().map(String::as_str), &[]);
            assert_eq!((by_flag.allow_reset, by_flag.pin), (on, on), "{text:?}");
        }
    }
    // A flag beats its variable, whichever way.
    let off = serve(&["--allow-reset=no"], &[("GALO_ALLOW_RESET", "yes")]);
    assert!(!off.allow_reset);
    assert!(
        serve(&["--pin", "--cores", "1"], &[]).pin,
        "a flag without a value"
    );

    let words = serve(
        &["--io", "URING", "--durability", "Disk", "--log=JSON"],
        &[("GALO_LOG_LEVEL", "INFO"), ("GALO_CORES", " 2 ")],
    );
    assert_eq!(
        (words.io, words.durability),
        (DriverChoice::Uring, Durability::Disk)
    );
    assert_eq!((words.log, words.cores), (Format::Json, 2));
    for (text, level) in [
        ("OFF", LevelFilter::Off),
        ("Error", LevelFilter::Error),
        ("warn", LevelFilter::Warn),
        ("WARNING", LevelFilter::Warn),
        ("Info ", LevelFilter::Info),
        ("DEBUG", LevelFilter::Debug),
        ("tracE", LevelFilter::Trace),
    ] {
        assert_eq!(serve(&["--log-level", text], &[]).log_level, level);
    }

    let lists = [
        ("GALO_LISTEN", "127.0.0.1:1, unix:/tmp/a b ,\t[::1]:2"),
        ("GALO_NODES", "a, b"),
        ("GALO_NODE", " b "),
        ("GALO_RUN", "/run/with blank"),
        ("GALO_PAYMENT_DEADLINE", "5S"),
        ("GALO_PROCESSOR_DEFAULT", " HTTP://d "),
        ("GALO_PROCESSOR_FALLBACK", "http://f\n"),
    ];
    let by_variable = serve(&[], &lists);
    let listen: Vec<String> = by_variable.listen.iter().map(Address::to_string).collect();
    assert_eq!(listen, ["127.0.0.1:1", "unix:/tmp/a b", "[::1]:2"]);
    let cluster = by_variable.cluster.expect("a cluster");
    assert_eq!(
        (cluster.nodes.join("+"), cluster.node),
        ("a+b".to_owned(), 1)
    );
    assert_eq!(cluster.run, PathBuf::from("/run/with blank"));
    let payments = by_variable.payments.expect("payments");
    assert_eq!(payments.deadline_ns, 5_000_000_000);
    let urls = payments.processors.map(|url| url.to_string());
    assert_eq!(urls, ["http://d", "http://f"]);
}

#[test]
fn what_is_given_twice_is_named() {
    let twice = |name: &str| format!("--{name}: is there twice; accepted: once");
    for flag in &SERVE_FLAGS {
        if flag.adds_up() {
            continue;
        }
        let value = match flag.name {
            "io" => "auto",
            "durability" => "disk",
            "replicate" => "nats://a",
            "log" => "json",
            "log-level" => "info",
            "payment-deadline" => "1s",
            name if name.starts_with("processor") => "http://a",
            _ => "1",
        };
        let name = flag.name;
        let given = format!("--{name}={value}");
        assert_eq!(error(&[&given, "--listen=a:1", &given]), twice(name));
    }
    assert_eq!(error(&["--cores", "1", "--cores", "2"]), twice("cores"));
    assert_eq!(error(&["--pin", "--pin=off"]), twice("pin"));
    assert_eq!(error(&["check", "--data=a", "--data=b"]), twice("data"));
    assert_eq!(error(&["healthcheck", "--url=a", "--url=b"]), twice("url"));

    let once = "a:1 is there twice; accepted: once";
    assert_eq!(
        error(&["--listen=a:1", "--listen=a:1"]),
        format!("--listen: {once}")
    );
    assert_eq!(
        error(&["--listen", "a:1, b:1 ,a:1"]),
        format!("--listen: {once}")
    );
    let variables = [("GALO_LISTEN", "a:1, a:1")];
    let line = parse_with(&[], &variables).expect_err("twice").to_string();
    assert_eq!(line, format!("GALO_LISTEN: {once}"));
    let any = "127.0.0.1:0";
    assert_eq!(
        serve(&["--listen", any, "--listen", any], &[]).listen.len(),
        2
    );
}

#[test]
fn what_has_no_effect_is_said() {
    let args = ["--payment-deadline", "1s", "--payment-queue=9", "--cores=1"];
    let warnings = serve(&args, &[]).warnings;
    let names: Vec<&str> = warnings
        .iter()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, ["--payment-deadline", "--payment-queue"]);
    let both = [
        &args[..],
        &[
            "--processor-default=http://a",
            "--processor-fallback=http://b",
        ],
    ];
    assert_eq!(serve(&both.concat(), &[]).warnings, [""; 0]);
    // Compose files say so of nodes with and without.
    let variables = [("GALO_PAYMENT_QUEUE", "9")];
    assert_eq!(serve(&[], &variables).warnings, [""; 0]);
}

#[test]
fn few_shards_ask_for_no_more_cores() {
    assert_eq!(serve(&["--shards", "1"], &[]).cores, 1);
    assert_eq!(serve(&[], &[("GALO_SHARDS", "1")]).cores, 1);
    let data = PathBuf::from("./data");
    let variables = [("GALO_SHARDS", "1"), ("GALO_CORES", "2")];
    let check = parse_with(&["check"], &variables);
    assert_eq!(check, Ok(CliCommand::Check { data }), "of no concern to it");
}

#[test]
fn the_defaults_that_help_names_apply() {
    let common = [
        "--cores=1",
        "--processor-default=http://a",
        "--processor-fallback=http://b",
    ];
    let given = |flag: &Flag| format!("--{}={}", flag.name, flag.default);
    let settings = |more: &[String]| {
        let more = more.iter().map(String::as_str);
        serve(&common.into_iter().chain(more).collect::<Vec<_>>(), &[])
    };
    // Others are words about it; and one goes with `replicate` only.
    let is_value =
        |it: &&Flag| it.default != "none" && !it.default.contains(' ') && it.name != "seed";
    let defaults: Vec<String> = SERVE_FLAGS.iter().filter(is_value).map(given).collect();
    assert_eq!(defaults.len(), 13);
    let said = settings(&defaults);
    let mut unsaid = settings(&[]);
    assert!(unsaid.listen_is_default && !said.listen_is_default);
    unsaid.listen_is_default = false;
    assert_eq!(said, unsaid);
}

#[test]
fn operations_md_lists_the_flags() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let document = std::fs::read_to_string(path).unwrap();
    let mut table = "| flag | variable | default | |\n|---|---|---|---|\n".to_owned();
    for flag in &SERVE_FLAGS {
        let name = format!("{}{}", flag.name, flag.value).replace('|', "\\|");
        let variables: Vec<String> = flag.variables().map(|it| format!("`{it}`")).collect();
        let (variables, help) = (variables.join(" or "), flag.help.replace('\n', " "));
        table += &format!("| `--{name}` | {variables} | {} | {help} |\n", flag.default);
    }
    assert!(document.contains(&table), "it should have\n{table}");
}

#[test]
fn what_is_wrong_is_named_with_what_is_accepted() {
    let long = format!("/{}", "x".repeat(100));
    for (args, expected) in [
        (
            &["--core", "2"][..],
            "unknown flag '--core' (is --cores meant?); accepted: what galo help serve lists",
        ),
        (&["-x"], "unknown flag '-x'; accepted: what"),
        (
            &["--cores", "0"],
            "--cores: '0' is not accepted: a whole number from 1 to 64",
        ),
        (&["--cores"], "--cores: a value is missing"),
        (
            &["--io", "kqueue"],
            "--io: 'kqueue' is not accepted: auto, uring, epoll",
        ),
        (
            &["--durability", "none"],
            "--durability: 'none' is not accepted: process, disk",
        ),
        (
            &["--log-level", "loud"],
            "--log-level: 'loud' is not accepted: off, error",
        ),
        (
            &["--listen", "nowhere"],
            "--listen: `nowhere` is neither host:port nor unix:/path",
        ),
        (
            &["serf"],
            "unknown command 'serf' (is serve meant?); accepted: serve, check, healthcheck, cluster, help, version",
        ),
        (
            &["--allow-reset=perhaps"],
            "--allow-reset: 'perhaps' is not accepted: true or false",
        ),
        (&["--pin="], "--pin: '' is not accepted: true or false"),
        (&["--pin", "true"], "unknown command 'true'; accepted"),
        (&["--listen", "a:1,,b:1"], "--listen: `` is neither"),
        (
            &["--listen", "unix:@galo"],
            "--listen: `unix:@galo` would be an abstract socket",
        ),
        (&["serve", "more"], "'more' is one word too many"),
        (
            &["check", "--cores", "2"],
            "unknown flag '--cores'; accepted: --data, --help, --version",
        ),
        (
            &["healthcheck", "--data", "x"],
            "unknown flag '--data'; accepted: --url",
        ),
        (&["cluster"], "cluster: what of it is missing; accepted: cluster status"),
        (
            &["cluster", "state"],
            "unknown command 'cluster state' (is status meant?); accepted: cluster status",
        ),
        (&["cluster", "status", "more"], "'more' is one word too many"),
        (&["cluster", "status"], "--replicate: missing; see galo help cluster"),
        (
            &["cluster", "status", "--replicate", "a:4222"],
            "--replicate: 'a:4222' is not accepted: nats://HOST:PORT",
        ),
        (
            &["cluster", "status", "--cores", "2"],
            "unknown flag '--cores'; accepted: what galo help cluster lists",
        ),
        (
            &["cluster", "status", "--replicate=nats://a", "--replicate-tls-key=k"],
            "--replicate-tls-cert and --replicate-tls-key come together",
        ),
        (
            &["--cores", "4", "--shards", "2"],
            "--shards: 2 for 4 cores; accepted: at least one shard a core",
        ),
        (
            &["--processor-default", "https://a"],
            "--processor-default: 'https://a' is not accepted: processors are spoken to without TLS",
        ),
        (
            &["--processor-fallback", "a:80"],
            "--processor-fallback: 'a:80' is not accepted: http://HOST",
        ),
        (
            &["--processor-fallback", "http://a"],
            "--processor-default: missing; --processor-default and --processor-fallback come together",
        ),
        (
            &["--processor-default", "http://a"],
            "--processor-fallback: missing; --processor-default and",
        ),
        (
            &["--processor-default=http://a", "--processor-fallback=http://A:80/"],
            "--processor-fallback: http://a is --processor-default, too",
        ),
        (
            &["--payment-deadline", "60"],
            "--payment-deadline: '60' is not accepted: 1ms to 24h",
        ),
        (
            &["--payment-queue", "0"],
            "--payment-queue: '0' is not accepted: a whole number from 1 to 10000000",
        ),
        (&["--node", "A"], "--node: 'A' is not accepted: a name is"),
        (&["--nodes", "a,b/c"], "--nodes: 'b/c' is not accepted"),
        (&["--nodes", "a,a"], "--nodes: 'a' is there twice"),
        (
            &["--nodes", "a", "--node", "b", "--run", "r"],
            "--node: 'b' is not in --nodes a",
        ),
        (
            &["--nodes", "a", "--node", "a", "--run", &long],
            "--run: /xxxx",
        ),
    ] {
        let message = error(args);
        assert!(message.starts_with(expected), "{args:?}: {message}");
        assert!(!message.contains('\n'), "one line: {message}");
    }
}

#[test]
fn the_other_commands_take_their_one_flag() {
    let data = PathBuf::from("/d");
    assert_eq!(
        parse_with(&["check", "--data", "/d"], &[]),
        Ok(CliCommand::Check { data })
    );
    let url = "unix:/s".to_owned();
    assert_eq!(
        parse_with(&["healthcheck", "--url", "unix:/s"], &[]),
        Ok(CliCommand::Healthcheck { url })
    );
    for (listen, expected) in [
        ("", "http://127.0.0.1:9999/health"),
        ("0.0.0.0:80,unix:/s", "http://0.0.0.0:80/health"),
        ("unix:/s,[::1]:80", "unix:/s"),
    ] {
        let url = expected.to_owned();
        let parsed = parse_with(&["healthcheck"], &[("GALO_LISTEN", listen)]);
        assert_eq!(parsed, Ok(CliCommand::Healthcheck { url }));
    }
    for args in [&["--version"][..], &["-V"], &["version"], &["check", "-V"]] {
        assert_eq!(parse_with(args, &[]), Ok(CliCommand::Version), "{args:?}");
    }
    for (args, page) in [
        (&["--help"][..], HelpPage::Short),
        (&["-h"], HelpPage::Short),
        (&["help"], HelpPage::Short),
        (&["--cores", "1", "--help"], HelpPage::Short),
        (&["help", "version"], HelpPage::Short),
        (&["help", "help"], HelpPage::Short),
        (&["serve", "--help"], HelpPage::Serve),
        (&["serve", "--cores", "1", "-h"], HelpPage::Serve),
        (&["help", "serve"], HelpPage::Serve),
        (&["check", "--help"], HelpPage::Check),
        (&["help", "check"], HelpPage::Check),
        (&["healthcheck", "-h"], HelpPage::Healthcheck),
        (&["help", "healthcheck"], HelpPage::Healthcheck),
        (&["cluster", "--help"], HelpPage::Cluster),
        (&["cluster", "status", "-h"], HelpPage::Cluster),
        (&["help", "cluster"], HelpPage::Cluster),
    ] {
        assert_eq!(
            parse_with(args, &[]),
            Ok(CliCommand::Help(page)),
            "{args:?}"
        );
    }
    let expected = "unknown command 'chek' (is check meant?); accepted: serve, check";
    assert!(error(&["help", "chek"]).starts_with(expected));
}

const CLUSTER: [&str; 6] = ["--nodes", "api01,api02", "--node", "api02", "--run", "/run"];

#[test]
fn a_cluster_is_nodes_node_and_run_together() {
    assert_eq!(serve(&[], &[]).cluster, None);
    let expected = Cluster {
        nodes: vec!["api01".to_owned(), "api02".to_owned()],
        node: 1,
        run: PathBuf::from("/run"),
    };
    assert_eq!(serve(&CLUSTER, &[]).cluster.as_ref(), Some(&expected));
    let variables = [
        ("GALO_NODES", "api01,api02"),
        ("GALO_NODE", "api01"),
        ("GALO_RUN", "/run"),
    ];
    let by_both = serve(&["--node", "api02"], &variables);
    assert_eq!(by_both.cluster, Some(expected));
    let one = serve(&["--nodes", "a", "--node", "a", "--run", "r"], &[]).cluster;
    assert_eq!(one.expect("a cluster of one").nodes, ["a"]);
    for (without, line) in [
        (
            0,
            "--nodes: missing; --nodes, --node and --run come together",
        ),
        (
            2,
            "--node: missing; --nodes, --node and --run come together",
        ),
        (4, "--run: missing; --nodes, --node and --run come together"),
    ] {
        let mut args = CLUSTER.to_vec();
        args.drain(without..without + 2);
        assert_eq!(error(&args), line);
    }
    let both = "--node and --run: missing; --nodes, --node and --run come together";
    assert_eq!(error(&["--nodes", "a,b"]), both);
}

#[test]
fn every_core_of_every_node_may_get_a_shard() {
    fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
        [&CLUSTER[..], more].concat()
    }
    // Three shards: two for the cores of the first node, and one core of the second idles unless it
    // stands in.
    assert_eq!(
        serve(&with(&["--shards", "3", "--cores", "2"]), &[]).cores,
        2
    );
    assert_eq!(serve(&with(&["--shards", "1"]), &[]).cores, 1);
    assert_eq!(
        error(&with(&["--shards", "2", "--cores", "2"])),
        "--shards: 2 for 2 cores in each node; accepted: at least one shard a core"
    );
}

#[test]
fn processors_come_by_flags_and_by_variables() {
    let others = [
        ("DEFAULT_PAYMENT_PROCESSOR_URL", "http://default:8080"),
        ("FALLBACK_PAYMENT_PROCESSOR_URL", "http://fallback:8080"),
    ];
    let urls = |serve: Serve| {
        let payments = serve.payments.expect("payments");
        payments.processors.map(|url| url.to_string())
    };
    let by_default = serve(&[], &others).payments.expect("payments");
    assert_eq!(by_default.deadline_ns, PAYMENT_DEADLINE_NS);
    assert_eq!(by_default.queue, PAYMENTS_OPEN_MAX);
    assert_eq!(
        urls(serve(&[], &others)),
        ["http://default:8080", "http://fallback:8080"]
    );
    // Ours beats the others', a flag beats both; an empty one is none.
    let variables = [
        others[0],
        others[1],
        ("GALO_PROCESSOR_DEFAULT", "http://d"),
        ("GALO_PROCESSOR_FALLBACK", ""),
        ("GALO_PAYMENT_DEADLINE", "5m"),
        ("GALO_PAYMENT_QUEUE", "1000"),
    ];
    let args = ["--payment-queue", "2000"];
    let settings = serve(&args, &variables).payments.expect("payments");
    assert_eq!(
        (settings.deadline_ns, settings.queue),
        (300_000_000_000, 2000)
    );
    assert_eq!(
        urls(serve(&[], &variables)),
        ["http://d", "http://fallback:8080"]
    );
    let args = ["--processor-fallback", "http://f"];
    assert_eq!(urls(serve(&args, &variables)), ["http://d", "http://f"]);
    let bad = [others[0], ("FALLBACK_PAYMENT_PROCESSOR_URL", "fallback")];
    let line = parse_with(&[], &bad).expect_err("no URL").to_string();
    assert!(line.starts_with("FALLBACK_PAYMENT_PROCESSOR_URL: 'fallback' is not accepted"));
}

#[test]
fn a_clusters_status_is_asked_of_the_engine_that_serve_would_have() {
    let variables = [
        ("GALO_REPLICATE", "nats://a"),
        ("GALO_CLUSTER", "prod"),
        ("GALO_CORES", "none"), // Of no interest.
    ];
    let engine = |servers: &str, cluster: &str, creds: Option<&str>| {
        Ok(CliCommand::ClusterStatus(nats::Settings {
            servers: vec![servers.to_owned()],
            cluster: cluster.to_owned(),
            creds: creds.map(PathBuf::from),
            ..nats::Settings::default()
        }))
    };
    let asked = parse_with(&["cluster", "status"], &variables);
    assert_eq!(asked, engine("nats://a", "prod", None));
    let args = ["cluster", "status", "--replicate", "tls://b"];
    let args = [&args[..], &["--replicate-creds", "c"]].concat();
    let asked = parse_with(&args, &variables);
    assert_eq!(asked, engine("tls://b", "prod", Some("c")));
    assert_eq!(parse_with(&args, &[]), engine("tls://b", "galo", Some("c")));
    let bad = [("GALO_CORES", "none"), ("GALO_REPLICATE", "a")];
    let line = parse_with(&["cluster", "status"], &bad).expect_err("no URL");
    let line = line.to_string();
    assert!(
        line.starts_with("GALO_REPLICATE: 'a' is not accepted"),
        "{line}"
    );
}

#[test]
fn nodes_on_several_machines_need_no_run_and_are_replicated() {
    let servers = "nats://a:1,tls://b:2,nats://c:3";
    let given = serve(
        &["--replicate", servers, "--nodes", "x,y", "--node", "y"],
        &[],
    );
    let replicate = given.replicate.clone().unwrap();
    assert_eq!(given.durability, Durability::Replicated);
    assert_eq!((given.shards, given.nodes()), (None, 2));
    assert_eq!(replicate.shards_by_default(), 8);
    assert_eq!(
        (replicate.nodes, replicate.node),
        (vec!["x".to_owned(), "y".to_owned()], 1)
    );
    assert!(!replicate.seed);
    assert_eq!(replicate.engine.servers.join(","), servers);
    assert_eq!(replicate.engine.cluster, "galo");
    assert_eq!(given.cluster, None);
    let alone = serve(
        &[
            "--replicate",
            "nats://a",
            "--cluster",
            "prod",
            "--shards",
            "3",
            "--seed",
        ],
        &[],
    );
    let replicate = alone.replicate.unwrap();
    assert!(replicate.seed);
    assert_eq!((alone.shards, replicate.nodes.len()), (Some(3), 1));
    assert_eq!(replicate.engine.cluster, "prod");
}

#[test]
fn what_does_not_go_with_several_machines_is_named() {
    let one = ["--replicate", "nats://a"];
    for (more, expected) in [
        (
            &["--run", "r"][..],
            "--run: not with --replicate: nodes meet at the engine",
        ),
        (
            &["--durability", "disk"],
            "--durability: with --replicate it is replicated",
        ),
        (&["--node", "a"], "--nodes: missing; it comes with --node"),
        (
            &["--nodes", "a,b"],
            "--node: missing; it comes with --nodes",
        ),
        (
            &["--nodes", "a,b", "--node", "c"],
            "--node: 'c' is not in --nodes a,b",
        ),
        (
            &["--replicate-tls-cert", "f"],
            "--replicate-tls-cert and --replicate-tls-key come together",
        ),
        (
            &["--cluster", "a.b"],
            "--cluster: 'a.b' is not accepted: 1 to 32 letters",
        ),
    ] {
        let error = error(&[&one[..], more].concat());
        assert!(error.starts_with(expected), "{error}");
    }
    for (servers, expected) in [
        (
            "nats://a,nats://b",
            "--replicate: two servers; accepted: one, or three",
        ),
        (
            "http://a",
            "--replicate: 'http://a' is not accepted: nats://",
        ),
        (
            "nats://a,,nats://b",
            "--replicate: '' is not accepted: nats://",
        ),
    ] {
        let error = error(&["--replicate", servers]);
        assert!(error.starts_with(expected), "{error}");
    }
    for flag in ["creds", "tls-ca", "tls-cert", "tls-key"] {
        let error = error(&[&format!("--replicate-{flag}=f")]);
        assert_eq!(error, format!("--replicate-{flag}: only with --replicate"));
    }
    let error = error(&["--durability", "replicated"]);
    assert_eq!(error, "--durability replicated: only with --replicate");
}
