//! The screen, on a terminal that is driven: `cargo test -p galo-top --features terminal-tests --test screen`; needs tmux.

use galo_testkit::terminal::Terminal;
use galo_testkit::{data_dir, Launch};

const GALO_TOP: &str = env!("CARGO_BIN_EXE_galo-top");

#[test]
fn nodes_are_watched_until_q_and_the_terminal_is_as_before() {
    let dir = data_dir();
    let server = Launch::serve(dir.path()).cores(2).start();
    let program = format!("{GALO_TOP} -i 200ms {}", server.address().url());
    let terminal = Terminal::start(160, 24, "", &program);
    let has = |words: &'static [&'static str]| {
        move |shown: &str| words.iter().all(|word| shown.contains(word)).then_some(())
    };
    terminal.shown_with(
        "node",
        has(&["1/1 nodes", "shards galo: 0-1", "healthy", "q: quit"]),
    );
    // What happens meanwhile is seen.
    let mut connection = server.connect();
    terminal.shown_with("requests", |shown| {
        connection
            .ask(&galo_testkit::transaction(1, 'c', 1, "x"))
            .posted();
        has(&["transacoes"])(shown)
    });
    terminal.resize(60, 10);
    terminal.shown_with("smaller screen", has(&["1/1 nodes", "q: quit"]));
    terminal.keys("q");
    assert_eq!(terminal.end().1, 0);
}

#[test]
fn a_node_that_dies_is_seen_and_a_signal_gives_the_terminal_back() {
    let dir = data_dir();
    let server = Launch::serve(dir.path()).cores(1).start();
    let program = format!("{GALO_TOP} -i 200ms {}", server.address().url());
    let terminal = Terminal::start(160, 24, "", &program);
    terminal.shown_with("node", |shown| shown.contains("1/1 nodes").then_some(()));
    server.kill();
    terminal.shown_with("its end", |shown| shown.contains("0/1 nodes").then_some(()));
    let pid = terminal.pid().parse().unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    assert_eq!(
        terminal.end().1,
        1,
        "its node was not there at the last look"
    );
}
