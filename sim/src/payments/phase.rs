//! What is wrong with a processor for a while, and what that does to a request.

use std::fmt::{self, Display, Formatter};

use galo::limits::MILLISECOND_NS;
use galo_processor::fault::Fault;

use super::Plan;
use galo_testkit::Random;

/// Of one processor, for a while.
#[derive(Clone, Debug, Default)]
pub struct Phase {
    /// Of a payment.
    pub delay_ms: u64,
    /// The failure switch.
    pub failing: bool,
    /// Payments that something happens to, percent.
    pub spoilt: u64,
    /// That something is one of these; any, if there are none.
    pub faults: &'static [Fault],
    /// Now and then it is something that makes no sense.
    pub senseless: bool,
    /// Other requests that get no answer, percent.
    pub deaf: u64,
    /// Nobody listens.
    pub refuses: bool,
    /// A connection takes so long to make, at most.
    pub connect_ns_max: u64,
}

/// What happens to a request for a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoilt {
    /// See there.
    Fault(Fault),
    /// What stands in front answers in its place; it may have been carried out all the same.
    Gateway { status: u16, arrives: bool },
    /// Something else than a payment is seen in it.
    Refused(u16),
    /// Too many, it says. With how many seconds to wait.
    Busy(Option<u64>),
    /// 200, and a page that nobody asked for; it may have been carried out all the same.
    Page { arrives: bool },
    /// It is known, it says, and it is not.
    Known,
}

/// What happens to another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deaf {
    /// Nothing, ever.
    Hangs,
    /// The connection is reset.
    Resets,
    /// The connection is closed within the reply.
    Cuts,
    /// The wrong thing.
    Says(u16),
    /// The answer, so much later.
    Late(u64),
    /// 200, and a page that nobody asked for.
    Page,
}

/// Delay in ms and failing, of both: the official run's stages.
const OFFICIAL: [[(u64, bool); 2]; 6] = [
    [(0, false), (0, false)],
    [(100, false), (0, false)],
    [(100, true), (0, false)],
    [(2000, true), (1000, true)],
    [(20, false), (20, false)],
    [(0, false), (5000, false)],
];

/// Of one stage.
pub const OFFICIAL_NS: u64 = 10_000 * MILLISECOND_NS;

impl Phase {
    /// The official run's stage `number` of processor `which`.
    pub fn official(which: usize, number: u64) -> Phase {
        let (delay_ms, failing) = OFFICIAL[number as usize % OFFICIAL.len()][which];
        Phase {
            delay_ms,
            failing,
            ..Phase::default()
        }
    }

    /// Any.
    pub fn any(plan: &Plan, random: &mut Random) -> Phase {
        let mut phase = Phase::default();
        if !random.percent(plan.troubled) {
            phase.delay_ms = random.skewed(1 + plan.delay_ms_max / 300) - 1;
            return phase;
        }
        // Now and then everything comes together.
        let together = random.percent(15);
        let what = random.below(6);
        if together || what == 0 {
            phase.delay_ms = random.skewed(plan.delay_ms_max);
        }
        if together || what == 1 {
            phase.failing = true;
        }
        if together || what == 2 || what == 3 {
            phase.spoilt = *random.pick(&[5, 30, 100]);
        }
        if together || what == 3 {
            phase.deaf = *random.pick(&[5, 30, 100]);
        }
        if what == 4 {
            phase.refuses = true;
        }
        if together || what == 5 {
            phase.connect_ns_max = plan.delay_ms_max * MILLISECOND_NS / 3;
        }
        phase.senseless = plan.senseless;
        phase
    }

    /// It takes whatever comes, and never answers; or nobody is there.
    pub fn dead(refuses: bool) -> Phase {
        Phase {
            spoilt: 100,
            faults: &[Fault::HangStored, Fault::HangLost],
            deaf: 100,
            refuses,
            ..Phase::default()
        }
    }

    /// Nothing is wrong: payments are carried out, and within a moment.
    pub fn is_good(&self) -> bool {
        !self.failing && self.spoilt == 0 && self.delay_ms <= 20 && self.is_heard()
    }

    /// Whoever asks about a payment gets an answer, at once.
    pub fn is_heard(&self) -> bool {
        self.deaf == 0 && !self.refuses && self.connect_ns_max == 0
    }

    /// What happens to the next payment.
    pub fn spoils(&self, random: &mut Random) -> Option<Spoilt> {
        if !random.percent(self.spoilt) {
            return None;
        }
        if !self.faults.is_empty() {
            return Some(Spoilt::Fault(*random.pick(self.faults)));
        }
        if self.senseless && random.percent(40) {
            return Some(match random.below(6) {
                0 | 1 => Spoilt::Page {
                    arrives: random.percent(50),
                },
                2 | 3 => Spoilt::Known,
                4 => Spoilt::Refused(*random.pick(&[401, 404, 405, 451])),
                _ => Spoilt::Gateway {
                    status: *random.pick(&[301, 308, 501, 599]),
                    arrives: random.percent(50),
                },
            });
        }
        Some(match random.below(14) {
            0..=2 => Spoilt::Gateway {
                status: *random.pick(&[408, 502, 503, 504]),
                arrives: random.percent(50),
            },
            3 => Spoilt::Refused(*random.pick(&[400, 404, 415])),
            4 => Spoilt::Busy(*random.pick(&[None, Some(0), Some(5)])),
            _ => Spoilt::Fault(*random.pick(&Fault::ALL)),
        })
    }

    /// What happens to the next other request.
    pub fn deafens(&self, random: &mut Random) -> Option<Deaf> {
        if !random.percent(self.deaf) {
            return None;
        }
        if self.senseless && random.percent(50) {
            return Some(match random.percent(50) {
                true => Deaf::Page,
                false => Deaf::Says(*random.pick(&[302, 404, 405, 422])),
            });
        }
        Some(match random.below(6) {
            0 => Deaf::Resets,
            1 => Deaf::Cuts,
            2 => Deaf::Says(*random.pick(&[400, 429, 500, 503])),
            3 => Deaf::Late(random.skewed(3_000 * MILLISECOND_NS)),
            _ => Deaf::Hangs,
        })
    }
}

// ---- For the trace ---------------------------------------------------------------

impl Display for Phase {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.refuses {
            return f.write_str("refuses connections");
        }
        let failing = match self.failing {
            true => "fail after",
            false => "take",
        };
        write!(f, "payments {failing} {} ms", self.delay_ms)?;
        if self.spoilt > 0 {
            write!(f, ", {} of 100 go wrong", self.spoilt)?;
        }
        if self.deaf > 0 {
            write!(f, ", {} of 100 questions go wrong", self.deaf)?;
        }
        match self.connect_ns_max / MILLISECOND_NS {
            0 => Ok(()),
            ms => write!(f, ", connections take up to {ms} ms"),
        }
    }
}

impl Display for Spoilt {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Spoilt::Fault(fault) => f.write_str(match fault {
                Fault::ReplyLost => "the reply is lost: the connection is closed",
                Fault::ResetBefore => "the connection is reset",
                Fault::ResetAfter => "the reply is lost: the connection is reset",
                Fault::CutHead => "the reply is cut off within its head",
                Fault::CutBody => "the reply is cut off within its body",
                Fault::HangStored => "the reply is lost: nothing ever comes",
                Fault::HangLost => "no reply ever comes",
                Fault::Drip => "the reply comes byte by byte",
            }),
            Spoilt::Gateway { status, .. } => write!(f, "a gateway in front replies {status}"),
            Spoilt::Refused(status) => write!(f, "the reply is {status}"),
            Spoilt::Busy(_) => f.write_str("the reply is 429"),
            Spoilt::Page { .. } => f.write_str("the reply is 200 with some page"),
            Spoilt::Known => f.write_str("the reply is 422"),
        }
    }
}

impl Display for Deaf {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Deaf::Hangs => f.write_str("no reply ever comes"),
            Deaf::Resets => f.write_str("the connection is reset"),
            Deaf::Cuts => f.write_str("the reply is cut off"),
            Deaf::Says(status) => write!(f, "the reply is {status}"),
            Deaf::Late(by_ns) => write!(f, "the reply comes {} ms late", by_ns / MILLISECOND_NS),
            Deaf::Page => f.write_str("the reply is 200 with some page"),
        }
    }
}
