//! Whatever happens in whatever order: every request gets its reply, once, in its place.

use super::*;

/// A random number generator that a seed repeats: splitmix64 (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// A client, what it has yet to send, and what it may expect.
struct Talk {
    client: Client,
    /// Requests, the first perhaps without its beginning.
    unsent: VecDeque<Vec<u8>>,
    /// By reply: its status, and the account if that may also be 503.
    expected: Vec<(u16, Option<u32>)>,
    got: Vec<Reply>,
}

fn talk(rig: &mut Rig, random: &mut Random) -> Talk {
    let client = rig.connect(random.below(rig.cores.len()));
    let mut talk = Talk {
        client,
        unsent: VecDeque::new(),
        expected: Vec::new(),
        got: Vec::new(),
    };
    for _ in 0..random.below(120) {
        let account = 1 + random.below(5) as u32;
        let (request, status, account) = match random.below(8) {
            0..=3 => (transact(account, 'c', 1), 200, Some(account)),
            4 => (statement(account), 200, Some(account)),
            5 => (transact(account, 'x', 1), 422, None),
            6 => (get("/nowhere"), 404, None),
            _ => (get("/metrics"), 200, None),
        };
        talk.unsent.push_back(request.into_bytes());
        talk.expected.push((status, account));
    }
    if random.below(2) == 0 {
        let bad = "GET / HTTP/1.1\r\nHost : x\r\n\r\n";
        talk.unsent.push_back(bad.into());
        talk.expected.push((400, None));
    }
    talk
}

fn play(seed: u64) {
    let mut random = Random(seed);
    let cores = 1 + random.below(3);
    let durability = match random.below(2) {
        0 => Durability::Process,
        _ => Durability::Disk,
    };
    let mut rig = Rig::new(Plan {
        nodes: 1,
        cores,
        shards: cores + random.below(3),
        durability,
        log_bytes_max: u64::MAX,
        gateway: None,
    });
    let mut talks: Vec<Talk> = (0..1 + random.below(6))
        .map(|_| talk(&mut rig, &mut random))
        .collect();
    for _ in 0..60 {
        for talk in &mut talks {
            if random.below(3) == 0 {
                let whole = random.below(talk.unsent.len() + 1);
                for request in talk.unsent.drain(..whole) {
                    rig.send(talk.client, request);
                }
                if let Some(next) = talk.unsent.front_mut().filter(|_| whole.is_multiple_of(2)) {
                    let cut = random.below(next.len());
                    rig.send(talk.client, next.drain(..cut).as_slice());
                }
            }
            if random.below(4) == 0 {
                let room = [0, 1, 5000, usize::MAX][random.below(4)];
                rig.take_only(talk.client, room);
            }
        }
        let core = random.below(cores);
        match random.below(6) {
            0 => rig.disk_stuck(core, true),
            1 => rig.disk_stuck(core, false),
            2 => rig.disk_full_once(random.below(rig.disks.len())),
            3 => rig.run(),
            _ => rig.tick(core, |_| ()),
        }
    }
    for disk in &rig.disks {
        disk.0.lock().unwrap().writes.clear();
    }
    (0..cores).for_each(|core| rig.disk_stuck(core, false));
    for talk in &mut talks {
        for request in talk.unsent.drain(..) {
            rig.send(talk.client, request);
        }
        rig.take_only(talk.client, usize::MAX);
    }
    rig.run();

    let mut credited = [0; 6];
    for talk in &mut talks {
        talk.got = rig.replies(talk.client);
        assert_eq!(talk.got.len(), talk.expected.len());
        let mut seen = [0; 6];
        for (reply, (status, account)) in talk.got.iter().zip(&talk.expected) {
            match account {
                Some(account) if reply.status == 200 => {
                    let balance = reply.balance();
                    assert!(balance >= seen[*account as usize], "time goes forwards");
                    seen[*account as usize] = balance;
                    credited[*account as usize] += i64::from(!reply.body.contains("total"));
                }
                Some(_) => assert_eq!(reply.status, 503),
                None => assert_eq!(reply.status, *status),
            }
        }
        let refused = talk
            .expected
            .last()
            .is_some_and(|(status, _)| *status == 400);
        assert_eq!(rig.socket(talk.client).finished, refused);
    }
    for account in 1..=5 {
        let client = rig.connect(random.below(cores));
        let balance = rig.ask(client, statement(account)).balance();
        assert_eq!(
            balance, credited[account as usize],
            "acknowledged, and no more"
        );
    }
}

#[test]
fn every_request_gets_its_reply_once_and_in_its_place() {
    for seed in 0..60 {
        let played = std::panic::catch_unwind(|| play(seed));
        assert!(played.is_ok(), "seed {seed}");
    }
}
