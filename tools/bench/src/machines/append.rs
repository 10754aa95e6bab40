//! Appends to a stream of NATS JetStream without Galo, one after the other: what a request is compared with. Each expects
//! the last sequence of its subject, as a node's do.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use galo_testkit::NatsClient;
use serde_json::{json, Value};

/// The stream of bare appends, and its subjects.
const STREAM: &str = "GALO_BENCH";

/// Bytes of a stream's last record on a subject, without headers.
pub fn last_length(client: &mut NatsClient, stream: &str, subject: &str) -> Result<usize> {
    let question = json!({ "last_by_subj": subject });
    let found = client.ask(&format!("STREAM.MSG.GET.{stream}"), &question)?;
    let base64 = found["message"]["data"].as_str().context("no data")?;
    let padding = base64.bytes().rev().take_while(|byte| *byte == b'=');
    Ok(base64.len() / 4 * 3 - padding.count())
}

/// Makes the stream for bare appends, with the settings of this one.
pub fn make_stream(client: &mut NatsClient, like: &str) -> Result<()> {
    let of_like = client.ask(&format!("STREAM.INFO.{like}"), &Value::Null)?;
    let mut config = of_like["config"].clone();
    config["name"] = STREAM.into();
    config["subjects"] = json!([format!("{STREAM}.*")]);
    if let Some(config) = config.as_object_mut() {
        config.remove("metadata");
    }
    client.ask(&format!("STREAM.CREATE.{STREAM}"), &config)?;
    Ok(())
}

/// Appends of one subject, one after the other.
pub struct Appender {
    client: NatsClient,
    subject: String,
    payload: Vec<u8>,
    /// Of the subject; 0: it has none.
    last: u64,
}

impl Appender {
    /// To this server; `name` is of this appender alone.
    pub fn new(url: &str, name: &str, length: usize) -> Result<Appender> {
        Ok(Appender {
            client: NatsClient::connect(url)?,
            subject: format!("{STREAM}.{name}"),
            payload: vec![b'x'; length],
            last: 0,
        })
    }

    /// One append: from sending it to knowing that it is kept.
    pub fn append(&mut self) -> Result<Duration> {
        let expected = format!("Nats-Expected-Last-Subject-Sequence: {}", self.last);
        let began = Instant::now();
        let answer = self
            .client
            .request(&self.subject, &expected, &self.payload)?;
        let took = began.elapsed();
        let answer: Value = serde_json::from_slice(&answer)?;
        let sequence = answer["seq"].as_u64();
        self.last = sequence.with_context(|| format!("not appended: {answer}"))?;
        Ok(took)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Plays a server that answers each publication with the next of these, in which `INBOX` is where answers are wanted.
    fn served(answers: &'static [&'static str]) -> (NatsClient, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"INFO {\"headers\":true}\r\n").unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let (mut inbox, mut seen) = (String::new(), Vec::new());
            let mut answers = answers.iter();
            while answers.len() > 0 {
                let line = lines.next().unwrap().unwrap();
                if let Some(rest) = line.strip_prefix("SUB ") {
                    inbox = rest.split(' ').next().unwrap().to_owned();
                }
                if line.contains("PUB ") {
                    let answer = answers.next().unwrap().replace("INBOX", &inbox);
                    stream.write_all(answer.as_bytes()).unwrap();
                }
                seen.push(line);
            }
            seen
        });
        (NatsClient::connect(&url).unwrap(), server)
    }

    #[test]
    fn appends_expect_the_sequence_of_the_one_before() {
        let (client, server) = served(&[
            "PING\r\nMSG INBOX 1 9\r\n{\"seq\":7}\r\n",
            "HMSG INBOX 1 12 21\r\nNATS/1.0\r\n\r\n{\"seq\":9}\r\n",
            "HMSG INBOX 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
        ]);
        let mut appender = Appender {
            client,
            subject: "S.0".to_owned(),
            payload: b"xxx".to_vec(),
            last: 0,
        };
        appender.append().unwrap();
        appender.append().unwrap();
        let error = appender.append().unwrap_err().to_string();
        assert!(error.contains("503"), "{error}");
        drop(appender);
        let seen = server.join().unwrap();
        let expected: Vec<&String> = seen.iter().filter(|it| it.contains("Expected")).collect();
        assert_eq!(
            expected,
            [
                "Nats-Expected-Last-Subject-Sequence: 0",
                "Nats-Expected-Last-Subject-Sequence: 7",
            ]
        );
    }

    #[test]
    fn a_record_is_as_long_as_its_base64_says() {
        for (base64, length) in [("YQ==", 1), ("YWI=", 2), ("YWJj", 3), ("YWJjZA==", 4)] {
            let answer = format!("{{\"message\":{{\"data\":\"{base64}\"}}}}");
            let text = format!("MSG INBOX 1 {}\r\n{answer}\r\n", answer.len());
            let answers: &'static [&'static str] = Vec::leak(vec![&*String::leak(text)]);
            let (mut client, server) = served(answers);
            assert_eq!(last_length(&mut client, "S", "s.1").unwrap(), length);
            drop(client);
            server.join().unwrap();
        }
    }
}
