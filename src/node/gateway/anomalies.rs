//! What processors say, as far as it makes sense; and what is said and counted where it does not.

use super::super::transport::Transport;
use super::Answer;
use super::Gateway;
use crate::limits::{FAULT_LOG_NS, RETRY_AFTER_NS_MAX, SILENT_ATTEMPTS};
use crate::payments::answers::{advice, Anomaly, Asked, Said};
use crate::payments::{PaymentId, Processor};

/// What a processor has said to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::node) struct HeardAnswer {
    pub(in crate::node) said: Said,
    /// Of a reply that has one.
    pub(in crate::node) status: Option<u16>,
    /// Not to come again for so long.
    pub(in crate::node) wait_ns: Option<u64>,
}

impl HeardAnswer {
    /// No connection could be made, so nothing was sent.
    pub(in crate::node) const UNREACHABLE: HeardAnswer = HeardAnswer {
        said: Said::Unreachable,
        status: None,
        wait_ns: None,
    };
}

impl Gateway {
    /// Takes up what a processor has said to a request, about a payment if that is what was asked. `readable`:
    /// whether a body is what it should be after a 2xx.
    pub(in crate::node) fn hear(
        &mut self,
        io: &Transport,
        from: Processor,
        asked: Asked,
        id: Option<PaymentId>,
        answer: Answer<'_>,
        readable: impl FnOnce(&[u8]) -> bool,
    ) -> HeardAnswer {
        let (status, wait_ns, readable, is_whole) = match answer {
            Answer::Whole {
                status,
                retry_after,
                body,
            } => {
                let wait_ns = retry_after.wait_ns(io.now.realtime_us);
                let readable = matches!(status, 200..=299) && readable(body);
                (status, wait_ns, readable, true)
            }
            // Whoever has not seen all of a body has not seen what it says; a connection may break.
            Answer::Head { status } => (status, None, false, false),
            Answer::Bad { tls } => {
                let what = if tls { "a record of TLS" } else { "no HTTP" };
                self.makes_no_sense(io, from, Anomaly::Protocol, (asked, id), None, what);
                return HeardAnswer {
                    said: Said::Nothing,
                    ..HeardAnswer::UNREACHABLE
                };
            }
            Answer::None => {
                self.heard_nothing(io, from, asked, id);
                return HeardAnswer {
                    said: Said::Nothing,
                    ..HeardAnswer::UNREACHABLE
                };
            }
        };
        let said = Said::of(status, readable);
        let upstream = self.upstream(from);
        upstream.silent = 0;
        if said == Said::Done {
            if !std::mem::replace(&mut upstream.understood, true) {
                let stats = &io.stats().payments.processors[from as usize];
                stats.understood.set(1);
            }
        } else if !asked.has_status(status) {
            let what = "a status that no processor has for it";
            self.makes_no_sense(io, from, Anomaly::Status, (asked, id), Some(status), what);
        } else if said == Said::Unreadable && is_whole {
            let what = "a body that is no processor's";
            self.makes_no_sense(io, from, Anomaly::Body, (asked, id), Some(status), what);
        }
        HeardAnswer {
            said,
            status: Some(status),
            wait_ns: wait_ns.map(|wait_ns| wait_ns.min(RETRY_AFTER_NS_MAX)),
        }
    }

    /// One that has never said anything does not this time, either: a port for TLS closes the connection, say.
    fn heard_nothing(
        &mut self,
        io: &Transport,
        from: Processor,
        asked: Asked,
        id: Option<PaymentId>,
    ) {
        let upstream = self.upstream(from);
        upstream.silent = upstream.silent.saturating_add(1);
        if asked == Asked::Payment
            && upstream.silent >= SILENT_ATTEMPTS
            && !self.understands(io, from)
        {
            let what = "no answer, as always";
            self.makes_no_sense(io, from, Anomaly::Silence, (asked, id), None, what);
        }
    }

    /// Whether a processor has ever said what only a processor says, to any of our cores.
    fn understands(&self, io: &Transport, processor: Processor) -> bool {
        let mut cores = io.settings.process.stats.cores();
        cores.any(|core| {
            core.payments.processors[processor as usize]
                .understood
                .get()
                > 0
        })
    }

    /// Counts it, and says so, if it was not said just now. What has made no sense from the first is most likely the
    /// URL's fault.
    pub(in crate::node) fn makes_no_sense(
        &self,
        io: &Transport,
        from: Processor,
        anomaly: Anomaly,
        (asked, id): (Asked, Option<PaymentId>),
        status: Option<u16>,
        what: &str,
    ) {
        let counter = &io.stats().payments.processors[from as usize].anomalies[anomaly as usize];
        counter.add(1);
        let stats = &io.settings.process.stats;
        let now_ns = io.now.monotonic_ns;
        if !stats.anomaly_line_is_due(from as usize, anomaly as usize, now_ns, FAULT_LOG_NS) {
            return;
        }
        let payments = io.settings.payments();
        let (host, prefix) = (
            &payments.hosts[from as usize],
            &payments.prefixes[from as usize],
        );
        let name = from.name();
        let request = match asked {
            Asked::Payment => format!("POST {prefix}/payments"),
            Asked::Lookup => format!("GET {prefix}/payments/<id>"),
            Asked::Health => format!("GET {prefix}/payments/service-health"),
        };
        let payment = id.map_or_else(String::new, |id| format!(" (payment {id})"));
        let status_text = status.map_or_else(String::new, |status| format!("{status}, "));
        let advice = match self.understands(io, from) {
            true => String::new(),
            false => format!("; {}", advice(from, prefix, anomaly, status)),
        };
        log::warn!(
            "payment processor {name} at http://{host}{prefix} makes no sense: to {request}{payment} it says \
             {status_text}{what}{advice}"
        );
    }
}
