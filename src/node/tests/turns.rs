//! What one tick does for whom: pipelines take turns, and do not keep those who ask one thing.

use super::*;
use crate::limits::{CONNECTION_WORK_MAX, RECEIVE_BUFFER_BYTES, TICK_WORK_MAX};

/// Replies that a client has got and the test has not read.
fn answered(rig: &mut Rig, client: Client) -> usize {
    let outbound = &rig.socket(client).outbound;
    outbound.windows(9).filter(|it| it == b"HTTP/1.1 ").count()
}

fn pipelining(rig: &mut Rig, clients: usize, requests: usize) -> Vec<Client> {
    let clients: Vec<Client> = (0..clients).map(|_| rig.connect(0)).collect();
    for client in &clients {
        rig.send(*client, transact(4, 'c', 1).repeat(requests));
    }
    clients
}

#[test]
fn a_connection_gets_so_much_of_a_tick_and_the_rest_waits_its_turn() {
    const TURNS: usize = 5;
    let mut rig = Rig::new(ONE);
    let each = CONNECTION_WORK_MAX as usize;
    let requests = TURNS * each;
    let client = pipelining(&mut rig, 1, requests)[0];
    let mut before = 0;
    while before < requests {
        rig.tick(0, |_| ());
        let after = answered(&mut rig, client);
        assert!((1..=each).contains(&(after - before)), "{before}, {after}");
        assert!(after == requests || rig.cores[0].has_events(rig.now_ns));
        before = after;
    }
    rig.run();
    let balances: Vec<i64> = rig.replies(client).iter().map(Reply::balance).collect();
    assert!(balances.into_iter().eq(1..=requests as i64), "in order");
}

#[test]
fn a_tick_does_so_much_and_whoever_asks_one_thing_is_served_in_it() {
    let mut rig = Rig::new(ONE);
    let hogs = pipelining(&mut rig, 64, 400);
    let before: Vec<Client> = (0..10).map(|_| rig.connect(0)).collect();
    for round in 0..8 {
        for client in &before {
            rig.send(*client, transact(5, 'c', 1));
        }
        let done = |rig: &mut Rig| hogs.iter().map(|it| answered(rig, *it)).sum::<usize>();
        let done_before = done(&mut rig);
        rig.tick(0, |_| ());
        let work = done(&mut rig) - done_before;
        let most = (TICK_WORK_MAX + CONNECTION_WORK_MAX) as usize;
        assert!((1..=most).contains(&work), "{work} in round {round}");
        for client in &before {
            assert_eq!(rig.statuses(*client), [200], "in round {round}");
        }
    }
    rig.run();
    for hog in hogs {
        assert_eq!(rig.statuses(hog).len(), 400);
    }
}

#[test]
fn turns_go_round() {
    let mut rig = Rig::new(ONE);
    let requests = 3 * CONNECTION_WORK_MAX as usize;
    let hogs = pipelining(&mut rig, 20, requests);
    loop {
        rig.tick(0, |_| ());
        let counts: Vec<usize> = hogs.iter().map(|it| answered(&mut rig, *it)).collect();
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        if *least == requests {
            break;
        }
        // One when it arrived, and then one in each round.
        assert!(
            most - least <= 2 * CONNECTION_WORK_MAX as usize + RECEIVE_BUFFER_BYTES / 100,
            "{least} to {most}"
        );
        assert!(rig.cores[0].runtime.ready());
    }
}

#[test]
fn large_requests_and_replies_count_as_several() {
    let mut rig = Rig::new(ONE);
    let client = rig.connect(0);
    rig.send(client, get("/metrics").repeat(CONNECTION_WORK_MAX as usize));
    rig.tick(0, |_| ());
    let metrics = answered(&mut rig, client);
    assert!((1..CONNECTION_WORK_MAX as usize / 2).contains(&metrics));

    let other = rig.connect(0);
    let filler = "x".repeat(7000);
    let large = format!("GET /health HTTP/1.1\r\nHost: x\r\nX: {filler}\r\n\r\n");
    rig.send(other, large.repeat(CONNECTION_WORK_MAX as usize));
    rig.tick(0, |_| ());
    let large = answered(&mut rig, other);
    assert!((1..CONNECTION_WORK_MAX as usize / 4).contains(&large));
}
