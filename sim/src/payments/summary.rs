//! Whether a summary is one that there was between question and reply.

use galo::limits::SUMMARY_NS_MAX;
use galo::payments::Processor;

use super::book::{State, Stored};
use super::{wire, Book};
use crate::reply::Reply;
use crate::trace::Checked;
use crate::{require, violation};

/// Payments that may be counted or not, of which all choices are tried.
const CHOICES_MAX: usize = 14;

/// A question about a window, and what was known when it was asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Both ends inclusive.
    from_us: u64,
    to_us: u64,
    /// What both processors had stored.
    inserts: u64,
    /// What journals had said of settled payments.
    settles: u64,
    /// Payments that had been forgotten by then: their place in the book, and the record that had accepted
    /// them; only those of which
    /// something was stored.
    purged: Vec<(usize, u64)>,
}

/// Of one processor, as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    count: u64,
    cents: u128,
}

impl Book {
    /// Somebody is about to ask about this window.
    pub fn question(&self, from_us: Option<u64>, to_us: Option<u64>) -> Question {
        let purged = self.known.iter().enumerate();
        let purged = purged.filter(|(_, known)| known.state == State::Purged);
        Question {
            from_us: from_us.unwrap_or(0),
            to_us: to_us.unwrap_or(u64::MAX),
            inserts: self.inserts,
            settles: self.settles,
            purged: purged.map(|(tag, known)| (tag, known.accepted)).collect(),
        }
    }

    /// It was answered; asked, and taken up, at these times.
    pub fn summed_up(
        &mut self,
        question: &Question,
        reply: &Reply,
        (written_ns, delivered_ns): (u64, u64),
        now_ns: u64,
    ) -> Checked {
        self.checked += 1;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        for which in Processor::ALL {
            let told = told(&text, which)?;
            // Who did not get answers in time says what he knows; nothing else.
            let exempt =
                now_ns >= delivered_ns + SUMMARY_NS_MAX || !self.was_heard(which, written_ns);
            self.fits(question, which, told, exempt)?;
        }
        Ok(())
    }

    fn fits(&self, question: &Question, which: Processor, told: Told, exempt: bool) -> Checked {
        let mut sure = Told { count: 0, cents: 0 };
        let mut open = Vec::new();
        for (id, stored) in &self.stored[which as usize] {
            let inside =
                question.from_us <= stored.requested_us && stored.requested_us <= question.to_us;
            let tag = self.by_id[id];
            let known = &self.known[tag];
            // It was forgotten before the question, and has not come again, not even to be forgotten
            // once more.
            let gone = question.purged.contains(&(tag, known.accepted));
            let gone = gone && known.state == State::Purged;
            if gone || (!inside && !known.doubtful) {
                continue;
            }
            let must = stored.number <= question.inserts
                && known.state != State::Purged
                && !known.doubtful
                // Nobody had to be asked about what is settled.
                && (!exempt || (1..=question.settles).contains(&known.settled));
            match must {
                true => {
                    sure.count += 1;
                    sure.cents += u128::from(stored.cents);
                }
                false => open.push(*stored),
            }
        }
        let of = |stored: &Stored| u128::from(stored.cents);
        let most = sure.cents + open.iter().map(of).sum::<u128>();
        require!(
            sure.count <= told.count
                && told.count <= sure.count + open.len() as u64
                && (sure.cents..=most).contains(&told.cents)
                && is_some_choice(&open, told.count - sure.count, told.cents - sure.cents),
            "{}: told {told:?}, is {sure:?}, and perhaps some of {open:?}; {question:?}, late: {exempt}",
            which.name()
        );
        Ok(())
    }
}

/// Whether so many of them come to this sum.
fn is_some_choice(open: &[Stored], count: u64, cents: u128) -> bool {
    if open.len() > CHOICES_MAX {
        return true;
    }
    (0..1_u32 << open.len()).any(|choice| {
        let chosen = open
            .iter()
            .enumerate()
            .filter(|(at, _)| choice >> at & 1 == 1);
        u64::from(choice.count_ones()) == count
            && chosen
                .map(|(_, stored)| u128::from(stored.cents))
                .sum::<u128>()
                == cents
    })
}

/// What a reply tells of one processor, in both forms.
fn told(text: &str, which: Processor) -> Checked<Told> {
    let json: serde_json::Value = serde_json::from_str(text)
        .map_err(|error| crate::trace::Violation(format!("a summary that is no JSON: {error}")))?;
    let name = which.name();
    // Numbers are read as they are written: there is nothing to be rounded.
    let section = |after: &str| -> Checked<String> {
        let from = text.find(after).map(|at| at + after.len());
        let Some(from) = from else {
            violation!("a summary without {after}: {text}");
        };
        let marker = format!("\"{name}\":");
        match text[from..].find(&marker) {
            Some(at) => Ok(text[from + at..].to_owned()),
            None => violation!("a summary without {name}: {text}"),
        }
    };
    let first = section("")?;
    let told = Told {
        count: json[name]["totalRequests"].as_u64().unwrap_or(u64::MAX),
        cents: wire::decimal_member(&first, "\"totalAmount\":")?,
    };
    let by_processor = section("\"payments_by_processor\"")?;
    let again = Told {
        count: json["payments_by_processor"][name]["count"]
            .as_u64()
            .unwrap_or(u64::MAX),
        cents: wire::decimal_member(&by_processor, "\"total_amount\":")?,
    };
    require!(told == again, "{name}: {told:?}, and {again:?}: {text}");
    Ok(told)
}
