//! The next state of a payment, as a table over its processor's answers: to the payment (POST), and to a status query
//! (GET).
//!
//! Never twice stands above all: a payment is free for another processor only where this one has refused it
//! for certain, and no earlier attempt of it is in doubt ([`NextState::Free`] is [`NextState::Bound`] then). Never lost
//! comes next: it is settled only by what can be read as a processor's word for it.

use super::Processor;

/// What a processor says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Said {
    /// 2xx, with the body that it should have.
    Done,
    /// 2xx, and nobody can read that body: it is no processor's, or only a part of it came.
    Unreadable,
    /// 4xx, but for those below: it does not take, or does not have, the payment.
    Refused,
    /// 422: it has had the payment before.
    Known,
    /// 429: more payments than it takes at a time.
    Busy,
    /// 500: it has carried nothing out.
    Failed,
    /// 408, 3xx, other 5xx, and whatever else has a status: something between us and it, perhaps.
    Unsure,
    /// No answer: a time-out, a connection that broke before the whole head, no HTTP.
    Nothing,
    /// No connection: nothing was sent.
    Unreachable,
}

impl Said {
    /// All, in the order of the table.
    pub const ALL: [Said; 9] = [
        Said::Done,
        Said::Unreadable,
        Said::Refused,
        Said::Known,
        Said::Busy,
        Said::Failed,
        Said::Unsure,
        Said::Nothing,
        Said::Unreachable,
    ];

    /// By the status of a reply, and by whether its body is what it should be after a 2xx.
    pub const fn of(status: u16, readable: bool) -> Said {
        match status {
            200..=299 if readable => Said::Done,
            200..=299 => Said::Unreadable,
            422 => Said::Known,
            429 => Said::Busy,
            408 => Said::Unsure,
            400..=499 => Said::Refused,
            500 => Said::Failed,
            _ => Said::Unsure,
        }
    }

    /// Whether the processor is to be asked what it has of a payment to which it said this.
    pub const fn is_asked_about(self) -> bool {
        matches!(self, Said::Known | Said::Unreadable)
    }
}

/// The state of a payment after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextState {
    /// It is settled, with what was sent.
    Paid,
    /// It is settled, with what the processor has stored.
    Stored,
    /// It is free: any processor may have it.
    Free,
    /// It stays with the processor, and is sent again, as it was.
    Bound,
}

/// One cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The payment's next state.
    pub next: NextState,
    /// The two answers contradict each other.
    pub contradiction: bool,
}

const fn ruling(next: NextState, contradiction: bool) -> Ruling {
    Ruling {
        next,
        contradiction,
    }
}

const P: Ruling = ruling(NextState::Paid, false);
const S: Ruling = ruling(NextState::Stored, false);
const F: Ruling = ruling(NextState::Free, false);
const B: Ruling = ruling(NextState::Bound, false);
/// Stored, by a processor that has refused the payment before: an anomaly.
const S_X: Ruling = ruling(NextState::Stored, true);
/// It knows what it does not have, or cannot tell what it has.
const B_X: Ruling = ruling(NextState::Bound, true);

/// By what was said to the payment; then by what was said when the processor was asked about it: nothing yet, and
/// [`Said::ALL`].
///
/// A question may be asked before the payment is answered, and answered after it: so there is a ruling where nobody
/// would have asked any more, too.
const TABLE: [[Ruling; 10]; 9] = [
    // GET: not yet, Done, Unreadable, Refused, Known, Busy, Failed, Unsure, Nothing, Unreachable
    /* POST Done        */
    [P, P, P, P, P, P, P, P, P, P],
    /* POST Unreadable  */ [B, S, B, B_X, B_X, B, B, B, B, B],
    /* POST Refused     */ [F, S_X, F, F, F, F, F, F, F, F],
    /* POST Known       */ [B, S, B_X, B_X, B_X, B, B_X, B, B, B],
    /* POST Busy        */ [F, S_X, F, F, F, F, F, F, F, F],
    /* POST Failed      */ [F, S_X, F, F, F, F, F, F, F, F],
    /* POST Unsure      */ [B, S, B, B, B, B, B, B, B, B],
    /* POST Nothing     */ [B, S, B, B, B, B, B, B, B, B],
    /* POST Unreachable */ [F, S_X, F, F, F, F, F, F, F, F],
];

/// The ruling on a payment: `asked` is the answer to the question about it, if there is one.
pub const fn rule(said: Said, asked: Option<Said>) -> Ruling {
    let column = match asked {
        None => 0,
        Some(asked) => 1 + asked as usize,
    };
    TABLE[said as usize][column]
}

/// What makes no sense of what a processor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Anomaly {
    /// A status that no processor has for this request.
    Status,
    /// 200, and a body that is no processor's.
    Body,
    /// No HTTP, or more than a reply may be.
    Protocol,
    /// Two answers that contradict each other.
    Contradiction,
    /// It has another amount under the payment's id.
    Amount,
    /// Again and again no answer, from one that has never given any.
    Silence,
}

impl Anomaly {
    /// All kinds, by their numbers.
    pub const ALL: [Anomaly; 6] = [
        Anomaly::Status,
        Anomaly::Body,
        Anomaly::Protocol,
        Anomaly::Contradiction,
        Anomaly::Amount,
        Anomaly::Silence,
    ];

    /// The label's value in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Anomaly::Status => "status",
            Anomaly::Body => "body",
            Anomaly::Protocol => "protocol",
            Anomaly::Contradiction => "contradiction",
            Anomaly::Amount => "amount",
            Anomaly::Silence => "silence",
        }
    }
}

/// The requests to a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// POST: to carry a payment out.
    Payment,
    /// GET: whether it has a payment.
    Lookup,
    /// GET: whether it works, and its least response time.
    Health,
}

impl Asked {
    /// Whether a processor, or what stands in front of it and lives, answers with this status.
    pub const fn has_status(self, status: u16) -> bool {
        match status {
            200..=299 | 408 | 429 | 500 | 502..=504 => true,
            422 => matches!(self, Asked::Payment),
            404 => matches!(self, Asked::Lookup),
            _ => false,
        }
    }
}

/// What to look at when a processor's answers have made no sense from the first: most likely its URL is another's.
/// `prefix`: the path of its URL.
pub fn advice(processor: Processor, prefix: &str, anomaly: Anomaly, status: Option<u16>) -> String {
    let flag = format!("--processor-{}", processor.name());
    if prefix.ends_with("/payments") {
        return format!("{flag} must be the URL without /payments, which is added to it");
    }
    let plain = "this is plain HTTP: is the port one for TLS";
    match (anomaly, status) {
        (Anomaly::Status, Some(300..=399)) => {
            format!("look at where it redirects to, and at {flag}; TLS is not spoken")
        }
        (Anomaly::Status, Some(400)) => format!("look at the port in {flag}; {plain}?"),
        (Anomaly::Status, Some(401 | 403 | 407)) => {
            format!("look at {flag}: is it a proxy, or something that wants credentials?")
        }
        (Anomaly::Protocol | Anomaly::Silence, _) => {
            format!("look at the port in {flag}; {plain}, or of something else?")
        }
        (Anomaly::Body, _) => {
            format!("look at host, port and path in {flag}: is it a web page?")
        }
        (Anomaly::Status, _) => {
            format!("look at host, port and path in {flag}: /payments is added to it")
        }
        (Anomaly::Contradiction | Anomaly::Amount, _) => format!("look at {flag}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns of the table.
    fn columns() -> impl Iterator<Item = Option<Said>> {
        std::iter::once(None).chain(Said::ALL.map(Some))
    }

    #[test]
    fn places_of_the_table_are_those_of_their_names() {
        for (number, said) in Said::ALL.into_iter().enumerate() {
            assert_eq!(said as usize, number);
        }
        for (number, anomaly) in Anomaly::ALL.into_iter().enumerate() {
            assert_eq!(anomaly as usize, number);
        }
    }

    /// Never twice: only who says no for certain lets go, and only while the question has no other answer.
    #[test]
    fn only_a_certain_refusal_frees() {
        for said in Said::ALL {
            let certain = matches!(
                said,
                Said::Refused | Said::Busy | Said::Failed | Said::Unreachable
            );
            for asked in columns() {
                let frees = certain && asked != Some(Said::Done);
                let next = rule(said, asked).next;
                assert_eq!(next == NextState::Free, frees, "{said:?} {asked:?}");
            }
        }
    }

    /// Never lost: only a readable word of the processor settles.
    #[test]
    fn only_what_can_be_read_settles() {
        for said in Said::ALL {
            for asked in columns() {
                let settles = matches!(rule(said, asked).next, NextState::Paid | NextState::Stored);
                let readable = said == Said::Done || asked == Some(Said::Done);
                assert_eq!(settles, readable, "{said:?} {asked:?}");
            }
        }
    }

    #[test]
    fn who_is_asked_about_is_bound_meanwhile() {
        for said in Said::ALL {
            if said.is_asked_about() {
                assert_eq!(rule(said, None).next, NextState::Bound);
            }
            assert!(!rule(said, None).contradiction, "{said:?}");
        }
    }

    #[test]
    fn statuses_are_what_they_say() {
        for (status, expected) in [
            (200, Said::Done),
            (204, Said::Done),
            (100, Said::Unsure),
            (301, Said::Unsure),
            (304, Said::Unsure),
            (400, Said::Refused),
            (404, Said::Refused),
            (405, Said::Refused),
            (408, Said::Unsure),
            (422, Said::Known),
            (429, Said::Busy),
            (499, Said::Refused),
            (500, Said::Failed),
            (501, Said::Unsure),
            (502, Said::Unsure),
            (503, Said::Unsure),
            (504, Said::Unsure),
            (999, Said::Unsure),
        ] {
            assert_eq!(Said::of(status, true), expected, "{status}");
        }
        assert_eq!(Said::of(200, false), Said::Unreadable);
        assert_eq!(Said::of(422, false), Said::Known);
    }

    #[test]
    fn advice_names_the_flag_and_what_to_look_at() {
        let of = |prefix, anomaly, status| advice(Processor::Fallback, prefix, anomaly, status);
        for (prefix, anomaly, status, what) in [
            ("/payments", Anomaly::Status, Some(404), "without /payments"),
            ("/x/payments", Anomaly::Body, Some(200), "without /payments"),
            ("", Anomaly::Status, Some(404), "host, port and path"),
            ("", Anomaly::Status, Some(405), "host, port and path"),
            ("/x", Anomaly::Status, Some(301), "redirects"),
            ("", Anomaly::Status, Some(400), "TLS"),
            ("", Anomaly::Status, Some(401), "credentials"),
            ("", Anomaly::Body, Some(200), "web page"),
            ("", Anomaly::Protocol, None, "TLS"),
            ("", Anomaly::Silence, None, "TLS"),
        ] {
            let text = of(prefix, anomaly, status);
            assert!(text.contains(what), "{text}");
            assert!(text.contains("--processor-fallback"), "{text}");
        }
    }
}
