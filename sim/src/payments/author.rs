//! What clients ask about payments.

use galo_testkit::{decimal, id_text, iso};

use super::Tag;
use crate::author::Author;
use crate::request::{Draft, Expect};

/// What ends this long ago is to be known by now.
const LATELY_US: u64 = 1_500_000;

impl Author<'_> {
    /// Any request about payments.
    pub fn payment_any(&mut self) -> Draft {
        match self.random.below(100) {
            0..=51 => self.pay(),
            52..=59 => self.pay_again(),
            60..=67 => self.pay_now(),
            68..=69 => self.pay_now_again(),
            70..=83 => self.summary(),
            84..=92 => self.show(),
            93 | 94 => self.purge(),
            _ => self.not_a_payment(),
        }
    }

    /// A payment that nobody has asked for.
    pub fn pay(&mut self) -> Draft {
        let cents = match self.random.percent(70) {
            true => self.cents_max,
            false => self.random.between(1, self.cents_max),
        };
        let id = u128::from(self.random.next()) << 64 | u128::from(self.random.next());
        let tag = self.model.payments.begin(Some(id), cents, None);
        self.pay_this(tag, cents)
    }

    /// One that somebody has asked for, perhaps with another amount.
    fn pay_again(&mut self) -> Draft {
        let Some(tag) = self.model.payments.any_again(self.random, false) else {
            return self.pay();
        };
        let mut cents = self.model.payments.known(tag).amounts[0];
        if self.random.percent(25) {
            cents = self.random.between(1, self.cents_max);
        }
        self.model.payments.again(tag, cents);
        self.pay_this(tag, cents)
    }

    fn pay_this(&mut self, tag: Tag, cents: u64) -> Draft {
        let id = self.model.payments.known(tag).id.expect("it came with one");
        let mut name = id_text(id);
        if self.random.percent(10) {
            name = name.to_uppercase();
        }
        let amount = self.amount(cents);
        let mut members = vec![
            format!("\"correlationId\":\"{name}\""),
            format!("\"amount\":{amount}"),
        ];
        if self.random.percent(10) {
            members.push("\"description\":\"x\"".to_owned());
        }
        let start = self.random.index(members.len());
        members.rotate_left(start);
        let body = format!("{{{}}}", members.join(", "));
        self.request("POST", "/payments", Some(&body), Expect::Pay(tag, cents))
    }

    /// The same number, not always written in the same way.
    fn amount(&mut self, cents: u64) -> String {
        let text = decimal(cents.into());
        match text.strip_suffix('0') {
            Some(short) if self.random.percent(50) => match short.strip_suffix(".0") {
                Some(whole) => whole.to_owned(),
                None => short.to_owned(),
            },
            _ => text,
        }
    }

    /// A payment without an id.
    pub fn pay_now(&mut self) -> Draft {
        // Nobody else's.
        let cents = self.cents_max + 1 + self.model.payments.tags() as u64;
        let key = self.random.percent(50).then(|| {
            let number = self.model.payments.tags();
            format!("payment-{number}")
        });
        let tag = self.model.payments.begin(None, cents, key);
        self.pay_now_this(tag)
    }

    fn pay_now_again(&mut self) -> Draft {
        match self.model.payments.any_again(self.random, true) {
            Some(tag) => self.pay_now_this(tag),
            None => self.pay_now(),
        }
    }

    fn pay_now_this(&mut self, tag: Tag) -> Draft {
        let known = self.model.payments.known(tag);
        let (cents, key) = (known.amounts[0], known.key.clone());
        let amount = self.amount(cents);
        let body = format!("{{\"amount\":{amount},\"description\":\"é\"}}");
        let expect = Expect::PayNow(tag);
        self.request_with("POST", "/payments", Some(&body), key.as_deref(), expect)
    }

    /// The summary of a window: often one that is just over, or just beginning.
    pub fn summary(&mut self) -> Draft {
        let now_us = self.now_us;
        let near = |random: &mut galo_testkit::Random, us: u64| {
            let by = random.skewed(20_000_000);
            match random.percent(50) {
                true => us.saturating_sub(by),
                false => us + by,
            }
        };
        let (from_us, to_us) = match self.random.below(10) {
            0 | 1 => (None, None),
            2..=4 => {
                let to_us = now_us.saturating_sub(LATELY_US);
                (Some(now_us.saturating_sub(10 * LATELY_US)), Some(to_us))
            }
            5 => (None, Some(near(self.random, now_us))),
            6 => (Some(near(self.random, now_us)), None),
            7 => {
                let from_us = now_us.saturating_sub(self.random.skewed(1_000_000));
                (Some(from_us), Some(now_us))
            }
            _ => {
                let (one, other) = (near(self.random, now_us), near(self.random, now_us));
                (Some(one.min(other)), Some(one.max(other)))
            }
        };
        self.summary_of(from_us, to_us)
    }

    /// The summary of this window, in whole milliseconds.
    pub fn summary_of(&mut self, from_us: Option<u64>, to_us: Option<u64>) -> Draft {
        let question = self.model.payments.question(
            from_us.map(|us| us / 1_000 * 1_000),
            to_us.map(|us| us / 1_000 * 1_000),
        );
        let mut parts = Vec::new();
        for (name, us) in [("from", from_us), ("to", to_us)] {
            if let Some(us) = us {
                let mut text = iso(us);
                if self.random.percent(20) {
                    text = text.replace(':', "%3A");
                }
                parts.push(format!("{name}={text}"));
            }
        }
        if self.random.percent(10) {
            parts.reverse();
        }
        let path = match parts.is_empty() {
            true => "/payments-summary".to_owned(),
            false => format!("/payments-summary?{}", parts.join("&")),
        };
        self.request("GET", &path, None, Expect::Summary(question))
    }

    /// Where some payment stands, or one that nobody knows.
    fn show(&mut self) -> Draft {
        let tags = self.model.payments.tags();
        let known = (tags > 0 && self.random.percent(90)).then(|| self.random.index(tags));
        let id = known.and_then(|tag| self.model.payments.known(tag).id);
        let (Some(tag), Some(id)) = (known, id) else {
            let id = u128::from(self.random.next());
            let path = format!("/payments/{}", id_text(id));
            return self.request("GET", &path, None, Expect::Status(404));
        };
        let since = self.model.payments.known(tag).state;
        let path = format!("/payments/{}", id_text(id));
        self.request("GET", &path, None, Expect::Show(tag, since))
    }

    fn purge(&mut self) -> Draft {
        let expect = match self.resets {
            None => return self.summary(),
            Some(false) => Expect::Status(403),
            Some(true) => {
                self.model.begin_purge();
                Expect::Purge
            }
        };
        self.request("POST", "/purge-payments", None, expect)
    }

    fn not_a_payment(&mut self) -> Draft {
        let id = id_text(u128::from(self.random.next()));
        let refused = |body: &str| ("POST", "/payments", 422, body.to_owned());
        let payment = |rest: &str| refused(&format!("{{\"correlationId\":\"{id}\"{rest}}}"));
        let other = |method, path, status| (method, path, status, String::new());
        let backwards = "/payments-summary?from=2024-01-02T00:00:00Z&to=2024-01-01T00:00:00Z";
        let (method, path, status, body) = match self.random.below(12) {
            0 => ("POST", "/payments", 400, "{\"amount\":".to_owned()),
            1 => refused(r#"{"correlationId":"x","amount":1}"#),
            2 => refused(r#"{"correlationId":7,"amount":1}"#),
            3 => payment(""),
            4 => payment(r#","amount":0"#),
            5 => payment(r#","amount":-1"#),
            6 => payment(r#","amount":1.001"#),
            7 => payment(r#","amount":"1""#),
            8 => other("GET", "/payments-summary?from=yesterday", 400),
            9 => other("GET", backwards, 400),
            10 => other("POST", "/payments-summary", 405),
            _ => other("GET", "/purge-payments", 405),
        };
        let body = (!body.is_empty()).then_some(body.as_str());
        self.request(method, path, body, Expect::Status(status))
    }
}
