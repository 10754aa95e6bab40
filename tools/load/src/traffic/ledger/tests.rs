//! True stories must be believed, and none that has one thing changed.

use fastrand::Rng;

use super::*;

/// Its place among the clients.
const PLACE: usize = 3;
const KEY: u64 = 7;

/// A transaction, and the balance that its reply tells.
#[derive(Clone, Copy, Debug)]
struct Told {
    change: i64,
    balance: i64,
}

/// Transactions in the order in which they were carried out, from the first balance to the last.
struct Story {
    start: i64,
    told: Vec<Told>,
    end: i64,
}

impl Story {
    fn random(random: &mut Rng, length: usize, amount_max: i64) -> Story {
        let start = random.i64(-1000..=1000);
        let mut end = start;
        let told = (0..length).map(|_| {
            let amount = random.i64(1..=amount_max);
            let change = if random.bool() { amount } else { -amount };
            end += change;
            Told {
                change,
                balance: end,
            }
        });
        let told = told.collect();
        Story { start, told, end }
    }

    /// What a ledger says of it, its replies having come to three threads in any order.
    fn line(&self, random: &mut Rng) -> VerificationLine {
        self.line_with(random, &[])
    }

    /// The same; with these, whose outcomes are unknown.
    fn line_with(&self, random: &mut Rng, unknown: &[i64]) -> VerificationLine {
        let mut told = self.told.clone();
        random.shuffle(&mut told);
        let mut threads = [0; 3].map(|_| Ledger::new(KEY));
        for Told { change, balance } in told {
            random
                .choice(&mut threads)
                .unwrap()
                .acknowledged(PLACE, change, balance);
        }
        for change in unknown {
            random.choice(&mut threads).unwrap().unknown(PLACE, *change);
        }
        let mut ledger = Ledger::new(KEY);
        threads.iter().for_each(|thread| ledger.merge(thread));
        let (mut start, mut end) = ([5; CLIENTS.len()], [5; CLIENTS.len()]);
        (start[PLACE], end[PLACE]) = (self.start, self.end);
        let lines = ledger.verify(&start, &end).lines;
        for (place, line) in lines.iter().enumerate() {
            assert_eq!(line.subject, format!("client {}", CLIENTS[place].0));
            assert!(place == PLACE || line.wrong.is_none());
        }
        lines[PLACE].clone()
    }
}

const NO_CHAIN: &str = "do not follow one another";

#[test]
fn a_true_story_is_believed_in_whichever_order_its_replies_come() {
    let mut random = Rng::with_seed(1);
    for round in 0..300 {
        let length = random.usize(0..=60);
        // Small amounts: balances that come again and again.
        let story = Story::random(&mut random, length, [3, 10_000][round % 2]);
        let line = story.line(&mut random);
        assert_eq!(line.wrong, None);
        let (start, end) = (story.start, story.end);
        let expected =
            format!("balance {end}: from {start} by {length} transactions, one after the other");
        assert_eq!(line.expected, expected);
        assert_eq!(
            line.found,
            format!("balance {end}; balances in replies follow one another")
        );
    }
}

#[test]
fn a_lost_update_is_found() {
    let mut random = Rng::with_seed(2);
    for _ in 0..300 {
        let mut story = Story::random(&mut random, 30, 50);
        // One and the next one are built on the same balance; what follows, on what the second one left.
        let lost = random.usize(0..29);
        let change = story.told[lost].change;
        story.told[lost + 1..]
            .iter_mut()
            .for_each(|told| told.balance -= change);
        story.end -= change;
        let wrong = story.line(&mut random).wrong.unwrap();
        let sum = match change {
            1.. => format!("{change} less than the replies make; "),
            _ => format!("{} more than the replies make; ", -change),
        };
        assert!(wrong.starts_with(&sum), "{wrong}");
        assert!(wrong.contains(NO_CHAIN), "{wrong}");
    }
}

#[test]
fn a_lost_update_is_found_also_where_another_makes_up_for_it() {
    let mut random = Rng::with_seed(3);
    for _ in 0..300 {
        let mut story = Story::random(&mut random, 40, 50);
        // The first of these gets lost; a later one that changes as much is done twice.
        let (lost, doubled) = (random.usize(0..19), random.usize(20..39));
        let change = story.told[lost].change;
        let correction = change - story.told[doubled].change;
        story.told[doubled].change = change;
        story.told[doubled..]
            .iter_mut()
            .for_each(|told| told.balance += correction);
        story.end += correction;
        assert_eq!(story.line(&mut random).wrong, None);
        story.told[lost + 1..=doubled]
            .iter_mut()
            .for_each(|told| told.balance -= change);
        story.told[doubled].balance += change;
        let wrong = story.line(&mut random).wrong.unwrap();
        assert!(wrong.starts_with("balances"), "{wrong}");
    }
}

#[test]
fn a_transaction_that_was_done_twice_is_found() {
    let mut random = Rng::with_seed(4);
    for _ in 0..300 {
        let mut story = Story::random(&mut random, 30, 50);
        let doubled = random.usize(0..30);
        let change = story.told[doubled].change;
        // Its reply tells the balance after both.
        story.told[doubled..]
            .iter_mut()
            .for_each(|told| told.balance += change);
        story.end += change;
        let wrong = story.line(&mut random).wrong.unwrap();
        assert!(wrong.contains("than the replies make"), "{wrong}");
        assert!(wrong.contains(NO_CHAIN), "{wrong}");
    }
}

#[test]
fn one_wrong_balance_is_found_though_the_end_is_right() {
    let mut random = Rng::with_seed(5);
    for _ in 0..300 {
        let mut story = Story::random(&mut random, 30, 50);
        let error = random.i64(1..=100) * if random.bool() { 1 } else { -1 };
        story.told[random.usize(0..30)].balance += error;
        let line = story.line(&mut random);
        assert!(line.wrong.unwrap().starts_with("balances"));
        assert!(line
            .found
            .ends_with("balances in replies do not follow one another"));
    }
    // As far beyond as a reply can tell.
    for balance in [i64::MIN, i64::MAX] {
        let mut story = Story::random(&mut random, 30, 50);
        story.told[7].balance = balance;
        assert!(story.line(&mut random).wrong.is_some());
    }
}

#[test]
fn two_balances_that_were_exchanged_are_found() {
    let mut random = Rng::with_seed(6);
    for _ in 0..300 {
        let mut story = Story::random(&mut random, 30, 50);
        let (one, other) = (random.usize(0..15), random.usize(15..30));
        let balances = [story.told[one].balance, story.told[other].balance];
        [story.told[other].balance, story.told[one].balance] = balances;
        // Where the balances are the same, or the changes are, it is the same story.
        let same = balances[0] == balances[1] || story.told[one].change == story.told[other].change;
        assert_eq!(story.line(&mut random).wrong.is_none(), same);
    }
}

#[test]
fn a_wrong_end_is_found() {
    let mut random = Rng::with_seed(7);
    for length in [0, 1, 30] {
        for (error, words) in [(1, "1 more than"), (-2, "2 less than")] {
            let mut story = Story::random(&mut random, length, 50);
            story.end += error;
            let wrong = story.line(&mut random).wrong.unwrap();
            assert!(wrong.starts_with(words), "{wrong}");
            assert!(wrong.contains(NO_CHAIN), "{wrong}");
        }
    }
}

#[test]
fn what_is_unknown_was_done_or_not() {
    let mut random = Rng::with_seed(8);
    for _ in 0..100 {
        let mut story = Story::random(&mut random, 30, 10_000);
        // Some have no reply, of which all were done; others were lost on their way.
        let mut unknown: Vec<i64> = story.told.drain(10..15).map(|told| told.change).collect();
        unknown.extend((0..5).map(|_| random.i64(1..=5000) * 2));
        let line = story.line_with(&mut random, &unknown);
        assert_eq!(line.wrong, None);
        assert!(line
            .expected
            .contains("25 transactions, and some of 10 whose outcome is unknown;"));
        assert!(line.expected.ends_with("so their order cannot be checked"));
        // Even amounts never make up for an odd difference.
        let even: Vec<i64> = unknown.iter().map(|change| change * 2).collect();
        let sure: i64 = story.told.iter().map(|told| told.change).sum();
        story.end = story.start + sure + 2 * unknown[0] + 1;
        let wrong = story.line_with(&mut random, &even).wrong.unwrap();
        let missing = 2 * unknown[0] + 1;
        let words = format!(
            "no choice among the 10 of unknown outcome adds up to what is missing ({missing})"
        );
        assert_eq!(wrong, words);
    }
}

#[test]
fn of_too_many_unknown_ones_the_least_and_the_largest_sum_count() {
    let mut random = Rng::with_seed(9);
    let count = UNKNOWN_MAX as i64 + 1;
    let unknown: Vec<i64> = (0..2 * count)
        .map(|at| if at < count { 2 } else { -4 })
        .collect();
    let mut story = Story::random(&mut random, 30, 50);
    let sure = story.end;
    for (difference, possible) in [
        (0, true),
        // An odd one, and not looked at that closely.
        (1, true),
        (2 * count, true),
        (2 * count + 1, false),
        (-4 * count, true),
        (-4 * count - 1, false),
    ] {
        story.end = sure + difference;
        let line = story.line_with(&mut random, &unknown);
        assert_eq!(line.wrong.is_none(), possible, "{difference}");
        assert!(line.expected.contains("too many to try each sum"));
        let range = format!("balance {} to {}: ", sure - 4 * count, sure + 2 * count);
        assert!(line.expected.starts_with(&range), "{}", line.expected);
    }
}

#[test]
#[should_panic(expected = "ledgers of one run")]
fn ledgers_of_different_keys_are_not_merged() {
    Ledger::new(1).merge(&Ledger::new(2));
}
