//! More connections than there may be, and what each of them costs.

use super::*;
use crate::limits::CONNECTIONS_MAX;

#[test]
fn one_too_many_is_told_so_and_there_is_room_again_when_one_goes() {
    let mut rig = Rig::new(ONE);
    let now = rig.now();
    let runtime = &mut rig.cores[0].runtime;
    runtime.tick_begin(now);
    let ids: Vec<ConnectionId> = (0..CONNECTIONS_MAX)
        .map(|_| runtime.opened(Peer::Client).unwrap())
        .collect();
    let words = runtime.opened(Peer::Client).unwrap_err();
    runtime.input_ended(ids[7], true);
    runtime.tick_end();
    assert!(matches!(runtime.next_effect(), Some(Effect::Close(id)) if id == ids[7]));
    assert!(
        runtime.opened(Peer::Client).is_err(),
        "not before it is closed"
    );
    runtime.closed(ids[7]);
    let id = runtime.opened(Peer::Client).unwrap();
    assert_eq!(id.index, ids[7].index);
    assert_ne!(id.generation, ids[7].generation);
    runtime.received(ids[7], statement(1).as_bytes());
    runtime.tick_end();
    assert!(runtime.next_effect().is_none(), "the old name means nobody");

    let words = std::str::from_utf8(words).unwrap();
    let (head, body) = words.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 "));
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())));
    assert!(body.contains(&CONNECTIONS_MAX.to_string()));
    assert_eq!(rig.stats.sum(|core| &core.connections_refused), 2);
    assert_eq!(
        rig.stats.sum(|core| &core.connections),
        CONNECTIONS_MAX as u64
    );
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    let mut rig = Rig::new(Plan {
        cores: 2,
        shards: 2,
        ..ONE
    });
    let client = rig.connect(0);
    rig.send(client, transact(1, 'c', 5) + &statement(2));
    rig.run();
    assert_eq!(rig.statuses(client), [200, 200]);
    let connections = &rig.cores[0].runtime.node().io.connections;
    for index in 0..connections.len() {
        assert_eq!(connections[index].input.bytes.capacity(), 0);
        assert_eq!(connections[index].output.capacity(), 0);
    }
    let each = size_of::<super::super::transport::connections::Connection>();
    assert!(each <= 320, "{each} bytes");
}
