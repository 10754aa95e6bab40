//! What goes wrong between a processor and its callers, as decisions: which payment requests are spoilt, and
//! what of the reply gets through. Nothing here is left to chance: a seed decides.

use std::fmt;
use std::str::FromStr;

/// What happens to one payment request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// Carried out, and the connection closed without a byte.
    ReplyLost,
    /// Not carried out: the connection is reset at once.
    ResetBefore,
    /// Carried out, and the connection reset instead of a reply.
    ResetAfter,
    /// Carried out; the connection is closed within the reply's head.
    CutHead,
    /// Carried out; the connection is closed within the reply's body.
    CutBody,
    /// Carried out, and never answered.
    HangStored,
    /// Not carried out, and never answered.
    HangLost,
    /// Carried out; the reply comes byte by byte, one each [`DRIP_MS`].
    Drip,
}

/// From one byte of a slow reply to the next.
pub const DRIP_MS: u64 = 20;

/// Rates are shares of so many.
pub const RATE_ALL: u32 = 1_000_000;

impl Fault {
    /// Every one, in the order in which rates are laid side by side.
    pub const ALL: [Fault; 8] = [
        Fault::ReplyLost,
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::CutHead,
        Fault::CutBody,
        Fault::HangStored,
        Fault::HangLost,
        Fault::Drip,
    ];

    /// In flags and bodies.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::ReplyLost => "reply_lost",
            Fault::ResetBefore => "reset_before",
            Fault::ResetAfter => "reset_after",
            Fault::CutHead => "cut_head",
            Fault::CutBody => "cut_body",
            Fault::HangStored => "hang_stored",
            Fault::HangLost => "hang_lost",
            Fault::Drip => "drip",
        }
    }

    /// Whether the request reaches the processor at all.
    pub const fn arrives(self) -> bool {
        !matches!(self, Fault::ResetBefore | Fault::HangLost)
    }

    /// What gets through of a reply of `reply_bytes`, of which `head_bytes` are its head, the empty line
    /// included.
    pub const fn delivery(self, head_bytes: usize, reply_bytes: usize) -> Delivery {
        let (bytes, end) = match self {
            Fault::ReplyLost => (0, End::Close),
            Fault::ResetBefore | Fault::ResetAfter => (0, End::Reset),
            Fault::CutHead => (head_bytes / 2, End::Close),
            Fault::CutBody => (head_bytes + (reply_bytes - head_bytes) / 2, End::Close),
            Fault::HangStored | Fault::HangLost => (0, End::Silence),
            Fault::Drip => (reply_bytes, End::Drip),
        };
        Delivery { bytes, end }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Fault, String> {
        let found = Fault::ALL.into_iter().find(|fault| fault.name() == text);
        found.ok_or_else(|| {
            let names = Fault::ALL.map(Fault::name).join(", ");
            format!("there is no fault {text:?}; there are {names}")
        })
    }
}

/// What of a reply gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// So many of its first bytes.
    pub bytes: usize,
    /// And then.
    pub end: End,
}

/// How a spoilt reply ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The connection is closed (FIN).
    Close,
    /// The connection is reset (RST).
    Reset,
    /// Nothing more comes; the connection stays open.
    Silence,
    /// It does not: all of it comes, slowly, and the connection goes on.
    Drip,
}

/// Which payment requests are spoilt, and which replies are chunked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Decides which ones.
    pub seed: u64,
    /// The share of each fault, by its place in [`Fault::ALL`]; of [`RATE_ALL`].
    pub rates: [u32; Fault::ALL.len()],
    /// These ones, whatever the rates are; counted from 1.
    pub nth: Vec<(u64, Fault)>,
    /// The share of all replies that are chunked; of [`RATE_ALL`].
    pub chunked: u32,
}

impl Plan {
    /// The fault of the `n`-th payment request, counted from 1.
    pub fn fault(&self, n: u64) -> Option<Fault> {
        if let Some((_, fault)) = self.nth.iter().find(|(nth, _)| *nth == n) {
            return Some(*fault);
        }
        let mut draw = self.draw(n, 0);
        for (fault, rate) in Fault::ALL.into_iter().zip(self.rates) {
            if draw < rate {
                return Some(fault);
            }
            draw -= rate;
        }
        None
    }

    /// Whether the `n`-th reply of any kind is chunked, counted from 1.
    pub fn chunked(&self, n: u64) -> bool {
        self.draw(n, 1) < self.chunked
    }

    /// Sets the share of a fault.
    pub fn set_rate(&mut self, fault: Fault, rate: u32) {
        self.rates[fault as usize] = rate;
    }

    /// Whether it can be followed: all shares together are not more than all.
    pub fn check(&self) -> Result<(), String> {
        let sum: u64 = self.rates.iter().map(|rate| u64::from(*rate)).sum();
        if sum > u64::from(RATE_ALL) {
            return Err("the rates of all faults together are more than 1".to_owned());
        }
        if self.chunked > RATE_ALL {
            return Err("the rate of chunked replies is more than 1".to_owned());
        }
        if self.nth.iter().any(|(n, _)| *n == 0) {
            return Err("requests are counted from 1".to_owned());
        }
        Ok(())
    }

    /// A number below [`RATE_ALL`], from the seed, a count and what it is for.
    fn draw(&self, n: u64, purpose: u64) -> u32 {
        if self.rates == [0; Fault::ALL.len()] && self.chunked == 0 {
            // The usual case.
            return RATE_ALL - 1;
        }
        let bits = mix(mix(mix(self.seed) ^ purpose) ^ n);
        ((u128::from(bits) * u128::from(RATE_ALL)) >> 64) as u32
    }
}

/// The output function of splitmix64 (<https://prng.di.unimi.it/splitmix64.c>).
const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_which_requests_are_spoilt_and_the_rates_how_many() {
        let mut plan = Plan {
            seed: 7,
            ..Plan::default()
        };
        assert!((1..=1000).all(|n| plan.fault(n).is_none() && !plan.chunked(n)));
        plan.set_rate(Fault::ReplyLost, RATE_ALL / 4);
        plan.set_rate(Fault::Drip, RATE_ALL / 2);
        plan.chunked = RATE_ALL / 10;
        let faults = |plan: &Plan| (1..=10_000).map(|n| plan.fault(n)).collect::<Vec<_>>();
        let first = faults(&plan);
        assert_eq!(first, faults(&plan));
        let count = |fault| first.iter().filter(|found| **found == fault).count();
        assert!(count(Some(Fault::ReplyLost)).abs_diff(2500) < 200);
        assert!(count(Some(Fault::Drip)).abs_diff(5000) < 200);
        assert!(count(None).abs_diff(2500) < 200);
        let chunked = (1..=10_000).filter(|n| plan.chunked(*n)).count();
        assert!(chunked.abs_diff(1000) < 200);
        plan.seed = 8;
        assert_ne!(first, faults(&plan));
    }

    #[test]
    fn a_request_can_be_picked_by_its_number() {
        let plan = Plan {
            nth: vec![(3, Fault::CutBody)],
            ..Plan::default()
        };
        assert_eq!(plan.fault(2), None);
        assert_eq!(plan.fault(3), Some(Fault::CutBody));
        assert_eq!(plan.fault(4), None);
    }

    #[test]
    fn a_share_of_one_is_every_request() {
        for fault in Fault::ALL {
            let mut plan = Plan::default();
            plan.set_rate(fault, RATE_ALL);
            assert!((1..=1000).all(|n| plan.fault(n) == Some(fault)));
            assert_eq!(fault.name().parse(), Ok(fault));
        }
    }

    #[test]
    fn cuts_are_within_what_they_name() {
        assert_eq!(
            Fault::CutHead.delivery(100, 150),
            Delivery {
                bytes: 50,
                end: End::Close
            }
        );
        assert_eq!(
            Fault::CutBody.delivery(100, 150),
            Delivery {
                bytes: 125,
                end: End::Close
            }
        );
        assert_eq!(Fault::Drip.delivery(100, 150).bytes, 150);
    }

    #[test]
    fn a_plan_that_cannot_be_followed_is_told() {
        let mut plan = Plan::default();
        plan.set_rate(Fault::Drip, RATE_ALL);
        assert_eq!(plan.check(), Ok(()));
        plan.set_rate(Fault::CutBody, 1);
        assert!(plan.check().is_err());
        let nth = vec![(0, Fault::Drip)];
        assert!(Plan {
            nth,
            ..Plan::default()
        }
        .check()
        .is_err());
    }
}
