//! `galo cluster status`: nodes on several machines as the engine has them, and what of it needs a person.
//!
//! What the last record of a shard's log says may be void (see [`crate::replicate`]): a node that serves knows better.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::time::Duration;

use crate::limits::LEASE_SILENCE_NS;
use crate::machine::engine::Subject;
use crate::nats::charter::PROTOCOL;
use crate::nats::{self, ClientError, LastRecord, ReplicaSurvey, StreamSurvey, Survey};
use crate::replicate::record::{Kind, Record, Writer};

/// Beyond, others take a member's shards over.
const SILENCE: Duration = Duration::from_nanos(LEASE_SILENCE_NS);

/// Why the status is not 0.
#[derive(Debug)]
pub enum StatusError {
    /// The cluster cannot be seen.
    Engine(ClientError),
    /// So many things need a person; the report names them.
    NeedsPerson(usize),
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StatusError::Engine(error) => error.fmt(f),
            StatusError::NeedsPerson(1) => f.write_str("the cluster needs a person"),
            StatusError::NeedsPerson(count) => {
                write!(f, "the cluster needs a person, for {count} reasons")
            }
        }
    }
}

/// Looks at the cluster, and writes a report.
pub fn run(settings: &nats::Settings, report: &mut impl Write) -> Result<(), StatusError> {
    let survey = nats::survey(settings).map_err(StatusError::Engine)?;
    let (text, problems) = tell(&settings.cluster, &survey);
    // Whoever gave the report's place finds out what of it was not taken.
    let _ = report.write_all(text.as_bytes());
    match problems {
        0 => Ok(()),
        count => Err(StatusError::NeedsPerson(count)),
    }
}

/// A member's lease, by the last record of its subject.
#[derive(Debug, PartialEq, Eq)]
enum Lease {
    /// It has never had one.
    Never,
    /// Of this incarnation, renewed lately.
    Held(u64),
    /// Of this incarnation, and not renewed for too long.
    Silent(u64),
    Ended,
    Revoked(u32),
    Unreadable,
}

impl Lease {
    fn of(survey: &Survey, member: u32, last: Option<&LastRecord>) -> Lease {
        let Some(last) = last else {
            return Lease::Never;
        };
        let Some(record) = read(survey, Subject::Lease(member), last) else {
            return Lease::Unreadable;
        };
        let incarnation = match record.writer.incarnation {
            0 => last.sequence,
            incarnation => incarnation,
        };
        match record.kind {
            Kind::Held if last.age < SILENCE => Lease::Held(incarnation),
            Kind::Held => Lease::Silent(incarnation),
            Kind::Revoked => Lease::Revoked(record.writer.member),
            _ => Lease::Ended,
        }
    }

    fn text(&self, survey: &Survey) -> String {
        match self {
            Lease::Never => "none yet".to_owned(),
            Lease::Held(_) => "held".to_owned(),
            Lease::Silent(_) => "not renewed".to_owned(),
            Lease::Ended => "given up".to_owned(),
            Lease::Revoked(by) => format!("revoked by {}", name(survey, *by)),
            Lease::Unreadable => "unreadable".to_owned(),
        }
    }
}

/// Whose a shard is, by the last record of its log.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    Member(Writer),
    Released(u32),
    Unreadable,
}

impl Owner {
    fn of(record: Option<&Record>, last: Option<&LastRecord>) -> Owner {
        match (record, last) {
            (_, None) => Owner::Nobody,
            (None, Some(_)) => Owner::Unreadable,
            (Some(record), _) => match record.kind {
                Kind::Handover(to) => Owner::Released(to),
                _ => Owner::Member(record.writer),
            },
        }
    }

    fn text(&self, survey: &Survey) -> String {
        match self {
            Owner::Nobody => "none yet".to_owned(),
            Owner::Member(writer) => name(survey, writer.member),
            Owner::Released(to) => format!("none: goes to {}", name(survey, *to)),
            Owner::Unreadable => "unreadable".to_owned(),
        }
    }
}

fn read(survey: &Survey, subject: Subject, last: &LastRecord) -> Option<Record> {
    let record = Record::read(subject, &last.bytes)?;
    (record.cluster == survey.charter.directory).then_some(record)
}

/// A member's name: `a/0`.
fn name(survey: &Survey, member: u32) -> String {
    let cores = survey.charter.cores.max(1);
    match survey.charter.nodes.get((member / cores) as usize) {
        Some(node) => format!("{node}/{}", member % cores),
        None => format!("member {member}"),
    }
}

/// The report, and how many things in it need a person.
fn tell(cluster: &str, survey: &Survey) -> (String, usize) {
    let charter = &survey.charter;
    let leases: Vec<Lease> = (0..)
        .zip(&survey.leases.last)
        .map(|(member, last)| Lease::of(survey, member, last.as_ref()))
        .collect();
    let records: Vec<Option<Record>> = (0..)
        .zip(&survey.log.last)
        .map(|(shard, last)| read(survey, Subject::Log(shard), last.as_ref()?))
        .collect();
    let owners: Vec<Owner> = records
        .iter()
        .zip(&survey.log.last)
        .map(|(record, last)| Owner::of(record.as_ref(), last.as_ref()))
        .collect();
    let (server, version) = &survey.server;
    let mut text = format!(
        "cluster {cluster}, directory {:032x}: {}, {} each, {}\nengine nats-server {version}, asked {server}\n",
        charter.directory,
        counted(charter.nodes.len(), "node"),
        counted(charter.cores as usize, "core"),
        counted(charter.shards as usize, "shard"),
    );
    text += &streams(survey);
    text += &members(survey, &leases, &owners);
    text += &shards(survey, &records, &owners);
    let mut problems = problems_of_engine(survey);
    problems.extend(problems_of_shards(survey, &leases, &owners));
    text += match problems.is_empty() {
        true => "\nnothing needs a person\n",
        false => "\nneeds a person:\n",
    };
    for problem in &problems {
        text += &format!("  {problem}\n");
    }
    (text, problems.len())
}

fn streams(survey: &Survey) -> String {
    let row = |stream: &StreamSurvey, missing: String| {
        let followers: Vec<String> = stream.replicas.iter().map(follower).collect();
        vec![
            stream.name.clone(),
            stream.inspection.first.to_string(),
            stream.inspection.last.to_string(),
            missing,
            stream.inspection.bytes.to_string(),
            or_dash(stream.leader.clone().unwrap_or_default()),
            or_dash(followers.join(", ")),
        ]
    };
    let head = [
        "stream",
        "first",
        "last",
        "missing",
        "bytes",
        "leader",
        "followers",
    ];
    // Of a lease only the last record is kept.
    let missing = survey.log.inspection.missing.to_string();
    let rows = vec![
        row(&survey.log, missing),
        row(&survey.leases, "-".to_owned()),
    ];
    table(&head, rows)
}

fn follower(replica: &ReplicaSurvey) -> String {
    let name = &replica.name;
    match (replica.is_offline, replica.is_current) {
        (true, _) => format!("{name} away"),
        (false, true) => format!("{name} current"),
        (false, false) => format!("{name} lacks {}", replica.lag),
    }
}

fn members(survey: &Survey, leases: &[Lease], owners: &[Owner]) -> String {
    let rows = leases.iter().zip(&survey.leases.last).zip(0..);
    let rows = rows.map(|((lease, last), member)| {
        let is_its = |it: &&Owner| matches!(it, Owner::Member(writer) if writer.member == member);
        vec![
            name(survey, member),
            lease.text(survey),
            last.as_ref().map_or("-".to_owned(), |it| ago(it.age)),
            owners.iter().filter(is_its).count().to_string(),
        ]
    });
    table(&["member", "lease", "since", "shards"], rows.collect())
}

fn shards(survey: &Survey, records: &[Option<Record>], owners: &[Owner]) -> String {
    let rows = records.iter().zip(owners).zip(&survey.log.last).zip(0..);
    let rows = rows.map(|(((record, owner), last), shard)| {
        let number = |of: fn(&Record) -> u64| {
            let number = record.as_ref().map(|it| of(it).to_string());
            or_dash(number.unwrap_or_default())
        };
        let last = last.as_ref();
        vec![
            u32::to_string(&shard),
            owner.text(survey),
            number(|it| it.epoch),
            number(|it| it.number),
            last.map_or("-".to_owned(), |it| it.sequence.to_string()),
            last.map_or("-".to_owned(), |it| ago(it.age)),
        ]
    });
    let head = ["shard", "owner", "epoch", "number", "record", "written"];
    table(&head, rows.collect())
}

fn problems_of_engine(survey: &Survey) -> Vec<String> {
    let mut problems = Vec::new();
    let (server, version) = &survey.server;
    if !survey.is_recent {
        problems.push(format!(
            "{server} is nats-server {version}: 2.15 or later is needed"
        ));
    }
    if survey.charter.protocol != PROTOCOL {
        problems.push(format!(
            "the cluster's protocol is {}, that of this galo is {PROTOCOL}",
            survey.charter.protocol
        ));
    }
    let missing = survey.log.inspection.missing;
    if missing > 0 {
        let (name, leader) = (&survey.log.name, survey.log.leader.as_deref());
        problems.push(format!(
            "{name}: {} lacks {}: no shard is taken over",
            leader.unwrap_or("the server"),
            counted(missing as usize, "record")
        ));
    }
    for stream in [&survey.log, &survey.leases] {
        let name = &stream.name;
        if stream.leader.as_deref() == Some("") {
            problems.push(format!("{name} has no leader"));
        }
        let (there, wanted) = (stream.replicas.len() + 1, stream.replicas_wanted);
        if there < wanted {
            problems.push(format!("{name} is on {there} of {wanted} servers"));
        }
        let replicas = stream.replicas.iter();
        let behind = replicas.filter(|it| it.is_offline || !it.is_current);
        problems.extend(behind.map(|it| format!("{name}: {}", follower(it))));
        problems.extend(stream.differs.clone());
    }
    problems
}

fn problems_of_shards(survey: &Survey, leases: &[Lease], owners: &[Owner]) -> Vec<String> {
    let mut by_owner: BTreeMap<(u32, u64), Vec<usize>> = BTreeMap::new();
    let (mut without, mut unreadable) = (Vec::new(), Vec::new());
    for (shard, owner) in owners.iter().enumerate() {
        match owner {
            Owner::Nobody | Owner::Released(_) => without.push(shard),
            Owner::Unreadable => unreadable.push(shard),
            Owner::Member(writer) => {
                let its = by_owner.entry((writer.member, writer.incarnation));
                its.or_default().push(shard);
            }
        }
    }
    let mut problems = Vec::new();
    if !without.is_empty() {
        problems.push(format!("{}: no owner", listed(&without)));
    }
    if !unreadable.is_empty() {
        problems.push(format!(
            "{}: the last record is none that this galo writes",
            listed(&unreadable)
        ));
    }
    for ((member, incarnation), shards) in by_owner {
        let (shards, name) = (listed(&shards), name(survey, member));
        let last = survey.leases.last.get(member as usize);
        let age = last.and_then(Option::as_ref).map(|it| it.age);
        match (leases.get(member as usize), age) {
            (Some(Lease::Held(of)), _) if *of == incarnation => {}
            (Some(Lease::Silent(of)), Some(age)) if *of == incarnation => {
                let ago = ago(age);
                problems.push(format!(
                    "{shards}: the owner, {name}, has renewed its lease {ago}"
                ));
            }
            _ => problems.push(format!("{shards}: the lease of the owner, {name}, is over")),
        }
    }
    problems
}

/// A head and rows, in columns.
fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head = head.iter().map(|it| (*it).to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let mut text = String::from("\n");
    for line in &lines {
        let cells = line.iter().zip(&widths);
        let padded: String = cells
            .map(|(cell, width)| format!("{cell:<width$}  "))
            .collect();
        text += padded.trim_end();
        text.push('\n');
    }
    text
}

fn or_dash(text: String) -> String {
    match text.is_empty() {
        true => "-".to_owned(),
        false => text,
    }
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn listed(shards: &[usize]) -> String {
    let numbers: Vec<String> = shards.iter().map(usize::to_string).collect();
    let plural = if shards.len() == 1 { "" } else { "s" };
    format!("shard{plural} {}", numbers.join(","))
}

fn ago(age: Duration) -> String {
    match age.as_secs() {
        0..120 => format!("{:.1} s ago", age.as_secs_f64()),
        seconds @ 120..7_200 => format!("{} min ago", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::engine::Inspection;
    use crate::nats::Charter;

    const DIRECTORY: u128 = 0xab;

    fn record(subject: Subject, member: u32, incarnation: u64, kind: Kind) -> Option<LastRecord> {
        let record = Record {
            cluster: DIRECTORY,
            subject,
            writer: Writer {
                member,
                incarnation,
            },
            epoch: 3,
            number: 4,
            previous: 0,
            kind,
        };
        Some(LastRecord {
            sequence: 20 + u64::from(subject.number()),
            bytes: record.to_bytes(),
            age: Duration::from_millis(300),
        })
    }

    fn stream(name: &str, last: Vec<Option<LastRecord>>) -> StreamSurvey {
        let replica = |name: &str| ReplicaSurvey {
            name: name.to_owned(),
            is_current: true,
            is_offline: false,
            lag: 0,
        };
        StreamSurvey {
            name: name.to_owned(),
            leader: Some("n1".to_owned()),
            replicas: ["n2", "n3"].map(replica).to_vec(),
            replicas_wanted: 3,
            inspection: Inspection {
                first: 8, // Its front was purged.
                last: 21,
                missing: 0,
                bytes: 4711,
                kept: 0,
            },
            differs: None,
            last,
        }
    }

    /// Two nodes, each with a shard.
    fn survey() -> Survey {
        let held = |member| record(Subject::Lease(member), member, 7, Kind::Held);
        let batch = |shard| record(Subject::Log(shard), shard, 7, Kind::Batch(vec![1]));
        let mut leases = stream("GALO_x_LEASE", vec![held(0), held(1)]);
        leases.inspection.missing = 400; // All but the last ones.
        Survey {
            charter: Charter {
                protocol: PROTOCOL,
                directory: DIRECTORY,
                shards: 2,
                nodes: vec!["a".to_owned(), "b".to_owned()],
                cores: 1,
                clients: Some(1),
                processors: None,
            },
            server: ("n2".to_owned(), "2.15.2".to_owned()),
            is_recent: true,
            log: stream("GALO_x", vec![batch(0), batch(1)]),
            leases,
        }
    }

    #[test]
    fn a_cluster_that_is_well_needs_nobody() {
        let (text, problems) = tell("x", &survey());
        let expected = "\
cluster x, directory 000000000000000000000000000000ab: 2 nodes, 1 core each, 2 shards
engine nats-server 2.15.2, asked n2

stream        first  last  missing  bytes  leader  followers
GALO_x        8      21    0        4711   n1      n2 current, n3 current
GALO_x_LEASE  8      21    -        4711   n1      n2 current, n3 current

member  lease  since      shards
a/0     held   0.3 s ago  1
b/0     held   0.3 s ago  1

shard  owner  epoch  number  record  written
0      a/0    3      4       20      0.3 s ago
1      b/0    3      4       21      0.3 s ago

nothing needs a person
";
        assert_eq!((text.as_str(), problems), (expected, 0), "{text}");
    }

    #[test]
    fn what_needs_a_person_is_named() {
        type Change = fn(&mut Survey);
        let cases: [(Change, &str); 16] = [
            (|it| it.log.last[1] = None, "shard 1: no owner"),
            (
                |it| it.log.last[1] = record(Subject::Log(1), 1, 7, Kind::Handover(0)),
                "shard 1: no owner",
            ),
            (
                |it| it.log.last[1].as_mut().unwrap().bytes.truncate(50),
                "shard 1: the last record is none that this galo writes",
            ),
            (
                |it| it.log.last[1] = record(Subject::Log(1), 0, 6, Kind::Epoch),
                "shard 1: the lease of the owner, a/0, is over",
            ),
            (
                |it| it.leases.last[1].as_mut().unwrap().age = SILENCE,
                "shard 1: the owner, b/0, has renewed its lease 2.4 s ago",
            ),
            (
                |it| it.leases.last[1] = record(Subject::Lease(1), 0, 7, Kind::Revoked),
                "shard 1: the lease of the owner, b/0, is over",
            ),
            (
                |it| it.leases.last[1] = record(Subject::Lease(1), 1, 7, Kind::Ended),
                "shard 1: the lease of the owner, b/0, is over",
            ),
            (
                |it| it.leases.last[1] = None,
                "shard 1: the lease of the owner, b/0, is over",
            ),
            (
                |it| it.log.inspection.missing = 5,
                "GALO_x: n1 lacks 5 records",
            ),
            (
                |it| it.log.leader = Some(String::new()),
                "GALO_x has no leader",
            ),
            (
                |it| drop(it.leases.replicas.pop()),
                "GALO_x_LEASE is on 2 of 3 servers",
            ),
            (|it| it.log.replicas[0].is_offline = true, "GALO_x: n2 away"),
            (
                |it| {
                    it.log.replicas[1].is_current = false;
                    it.log.replicas[1].lag = 9;
                },
                "GALO_x: n3 lacks 9",
            ),
            (
                |it| it.log.differs = Some("engine: stream GALO_x has".to_owned()),
                "engine: stream GALO_x has",
            ),
            (|it| it.is_recent = false, "n2 is nats-server 2.15.2: 2.15"),
            (
                |it| it.charter.protocol = PROTOCOL + 1,
                "the cluster's protocol is 2",
            ),
        ];
        for (change, expected) in cases {
            let mut survey = survey();
            change(&mut survey);
            let (text, problems) = tell("x", &survey);
            assert_eq!(problems, 1, "{text}");
            let (_, named) = text.split_once("needs a person:\n  ").expect("it does");
            assert!(named.starts_with(expected), "{expected}: {text}");
        }
    }

    #[test]
    fn a_lease_of_which_there_is_one_record_is_that_records() {
        let mut survey = survey();
        survey.leases.last[0] = record(Subject::Lease(0), 0, 0, Kind::Held);
        survey.log.last[0] = record(Subject::Log(0), 0, 20, Kind::Epoch);
        let (text, problems) = tell("x", &survey);
        assert_eq!(problems, 0, "{text}");
    }

    #[test]
    fn a_server_that_is_alone_has_no_followers() {
        let mut survey = survey();
        for stream in [&mut survey.log, &mut survey.leases] {
            stream.leader = None;
            stream.replicas.clear();
            stream.replicas_wanted = 1;
        }
        let (text, problems) = tell("x", &survey);
        assert_eq!(problems, 0, "{text}");
    }

    #[test]
    fn ages_are_told_as_people_do() {
        let told = [0, 119, 120, 7_199, 7_200, 172_800].map(|it| ago(Duration::from_secs(it)));
        let expected = [
            "0.0 s ago",
            "119.0 s ago",
            "2 min ago",
            "119 min ago",
            "2 h ago",
            "2 days ago",
        ];
        assert_eq!(told, expected);
    }
}
