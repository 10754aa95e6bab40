//! The thread with the connection: what cores and the process want of it, one after the other.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event};
use tokio::sync::mpsc;
use tokio::task::{spawn_local, JoinHandle};
use tokio::time::{sleep, Instant};

use super::charter::Charter;
use super::port::{Command, Core, Stored};
use super::requests::{self, Asker};
use super::store;
use super::streams::{self, Names};
use super::{ClientError, Settings};
use crate::limits::{ENGINE_ANSWER_NS, ENGINE_RETRY_NS, MESSAGE_BYTES_MAX};
use crate::machine::engine::{Answer, EngineEvent, Request};

const RETRY: Duration = Duration::from_nanos(ENGINE_RETRY_NS);
/// Another server is connected with at most so often.
const RECONNECT: Duration = Duration::from_secs(2);
/// What a message of ours has beside its content: headers.
const HEADERS_BYTES_MAX: usize = 4096;

/// A core, and what goes on for it all the time.
struct Served {
    core: Core,
    /// The log: for which request, the last record that was delivered, and who reads on.
    following: Option<(u64, Arc<AtomicU64>, JoinHandle<()>)>,
    leases: Option<JoinHandle<()>>,
}

struct Link {
    client: Client,
    settings: Settings,
    cores: BTreeMap<u32, Served>,
    connected: bool,
    kept: Arc<AtomicU64>,
    reconnected: Option<Instant>,
    /// A request had no answer in time.
    silent: mpsc::UnboundedSender<()>,
}

/// Runs until [`Command::End`].
pub(super) async fn run(settings: Settings, mut commands: mpsc::UnboundedReceiver<Command>) {
    let (events, mut happened) = mpsc::unbounded_channel();
    let (silent, mut silences) = mpsc::unbounded_channel();
    let mut waiting = Vec::new();
    let client = tokio::select! {
        client = connect(&settings, events) => client,
        () = until_end(&mut commands, &mut waiting) => return,
    };
    let client = match client {
        Ok(client) => client,
        Err(error) => return refuse(error, commands, waiting).await,
    };
    let mut link = Link {
        client,
        settings,
        cores: BTreeMap::new(),
        connected: false,
        kept: Arc::default(),
        reconnected: None,
        silent,
    };
    link.changed(true);
    for command in waiting {
        link.carry_out(command);
    }
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                None | Some(Command::End) => return,
                Some(command) => link.carry_out(command),
            },
            event = happened.recv() => match event {
                Some(Event::Connected) => link.changed(true),
                Some(Event::Disconnected) => link.changed(false),
                Some(other) => log::debug!("engine: {other}"),
                None => {}
            },
            _ = silences.recv() => link.reconnect().await,
        }
    }
}

/// Keeps what is asked while there is no connection yet.
async fn until_end(commands: &mut mpsc::UnboundedReceiver<Command>, waiting: &mut Vec<Command>) {
    loop {
        match commands.recv().await {
            None | Some(Command::End) => return,
            Some(Command::Ask { .. }) if waiting.len() > WAITING_MAX => {} // Its time is over anyway.
            Some(command) => waiting.push(command),
        }
    }
}

/// Requests that are kept while there is no connection yet.
const WAITING_MAX: usize = 10_000;

/// The engine cannot be used: whoever asks is told so.
async fn refuse(
    error: ClientError,
    mut commands: mpsc::UnboundedReceiver<Command>,
    waiting: Vec<Command>,
) {
    let tell = |command| match command {
        Command::Charter { reply, .. } => drop(reply.send(Err(error.clone()))),
        Command::Amend { reply, .. } => drop(reply.send(Err(error.clone()))),
        Command::Store { reply, .. } => drop(reply.send(Err(error.clone()))),
        Command::Port(_) | Command::Ask { .. } | Command::End => {}
    };
    log::error!("{error}");
    waiting.into_iter().for_each(tell);
    loop {
        match commands.recv().await {
            None | Some(Command::End) => return,
            Some(command) => tell(command),
        }
    }
}

/// Connects, for as long as it takes. An error: waiting does not help.
async fn connect(
    settings: &Settings,
    events: mpsc::UnboundedSender<Event>,
) -> Result<Client, ClientError> {
    until_done(async || {
        let options = match options(settings, events.clone()).await {
            Ok(options) => options,
            Err(error) => return Ok(Err(no_creds(&error))),
        };
        match options.connect(settings.servers.clone()).await {
            Ok(client) => Ok(Ok(client)),
            Err(error) if is_final(&error) => Ok(Err(refused(settings, &error))),
            Err(error) => {
                let servers = settings.servers.join(",");
                Err(format!("cannot be reached at {servers}: {error}"))
            }
        }
    })
    .await
}

/// Tries until there is something to return. `Err`: not now, and why, which is said once.
async fn until_done<T>(mut attempt: impl AsyncFnMut() -> Result<T, String>) -> T {
    let mut waits = false;
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(why) if !std::mem::replace(&mut waits, true) => {
                log::warn!("engine: {why}; waiting");
            }
            Err(_) => {}
        }
        sleep(5 * RETRY).await;
    }
}

/// Whether waiting does not help.
pub(super) fn is_final(error: &ConnectError) -> bool {
    matches!(
        error.kind(),
        ConnectErrorKind::Authentication
            | ConnectErrorKind::AuthorizationViolation
            | ConnectErrorKind::ServerParse
            | ConnectErrorKind::Tls
    )
}

pub(super) fn refused(settings: &Settings, error: &ConnectError) -> ClientError {
    ClientError(format!("engine: {}: {error}", settings.servers.join(",")))
}

pub(super) fn no_creds(error: &io::Error) -> ClientError {
    ClientError(format!("engine: --replicate-creds: {error}"))
}

pub(super) async fn options(
    settings: &Settings,
    events: mpsc::UnboundedSender<Event>,
) -> io::Result<ConnectOptions> {
    let mut options = ConnectOptions::new()
        .name("galo")
        .connection_timeout(Duration::from_secs(2))
        .ping_interval(Duration::from_secs(2))
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| RETRY * (attempts.min(5) as u32))
        .event_callback(move |event| {
            let _ = events.send(event);
            async {}
        });
    if let Some(creds) = &settings.creds {
        options = options.credentials_file(creds).await?;
    }
    if let Some(ca) = &settings.tls_ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let (Some(cert), Some(key)) = (&settings.tls_cert, &settings.tls_key) {
        options = options.add_client_certificate(cert.clone(), key.clone());
    }
    Ok(options)
}

impl Link {
    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Port(core) => self.serve(core),
            Command::Ask {
                member,
                request,
                follow,
            } => self.ask(member, request, follow),
            Command::Charter { proposed, reply } => {
                let (client, settings) = (self.client.clone(), self.settings.clone());
                spawn_local(async move {
                    let _ = reply.send(find_charter(&client, &settings, proposed).await);
                });
            }
            Command::Amend { charter, reply } => {
                let (client, settings) = (self.client.clone(), self.settings.clone());
                spawn_local(async move {
                    let _ = reply.send(amend(&client, &settings, &charter).await);
                });
            }
            Command::Store { asked, reply } => {
                let (client, settings) = (self.client.clone(), self.settings.clone());
                spawn_local(async move {
                    let _ = reply.send(use_store(&client, &settings, &asked).await);
                });
            }
            Command::End => unreachable!("the loop ends with it"),
        }
    }

    fn asker(&self, core: Core) -> Asker {
        Asker {
            client: self.client.clone(),
            names: Names::of(&self.settings),
            core,
            kept: self.kept.clone(),
            silent: self.silent.clone(),
        }
    }

    fn serve(&mut self, core: Core) {
        core.say(EngineEvent::Connected(self.connected));
        let asker = self.asker(core.clone());
        spawn_local(requests::messages(asker.clone()));
        let served = Served {
            leases: Some(spawn_local(requests::leases(asker))),
            following: None,
            core,
        };
        self.cores.insert(served.core.shared.member, served);
    }

    /// Reads the log for a core from behind a record on, and no more what it read before.
    fn follow(&self, served: &mut Served, last: Arc<AtomicU64>, follow: u64) {
        served.stop_following();
        let asker = self.asker(served.core.clone());
        let task = spawn_local(requests::follow(asker, last.clone(), follow));
        served.following = Some((follow, last, task));
    }

    fn ask(&mut self, member: u32, request: Request, follow: u64) {
        let Some(served) = self.cores.get_mut(&member) else {
            return;
        };
        if let (false, Some(id)) = (self.connected, request.id()) {
            // It would leave when there is a connection again, long after its time.
            return served.core.say(EngineEvent::Answered(id, Answer::Unknown));
        }
        if let Request::Follow { after } = request {
            let Some(mut served) = self.cores.remove(&member) else {
                return;
            };
            self.follow(&mut served, Arc::new(AtomicU64::new(after)), follow);
            self.cores.insert(member, served);
        } else if self.connected {
            let core = served.core.clone();
            spawn_local(requests::carry_out(self.asker(core), request));
        }
    }

    fn changed(&mut self, connected: bool) {
        if std::mem::replace(&mut self.connected, connected) == connected {
            return;
        }
        match connected {
            true => log::info!("the engine can be asked"),
            false => log::warn!("the engine cannot be asked: writes wait, then are refused"),
        }
        for (member, mut served) in std::mem::take(&mut self.cores) {
            served.core.say(EngineEvent::Connected(connected));
            if connected {
                // Readers would go on by themselves, after ten seconds or so.
                if let Some((follow, last, _)) = &served.following {
                    let (follow, last) = (*follow, last.clone());
                    self.follow(&mut served, last, follow);
                }
                let leases = requests::leases(self.asker(served.core.clone()));
                if let Some(before) = served.leases.replace(spawn_local(leases)) {
                    before.abort();
                }
            }
            self.cores.insert(member, served);
        }
    }

    /// The server that we have does not answer: another one may.
    async fn reconnect(&mut self) {
        let is_early = self.reconnected.is_some_and(|it| it.elapsed() < RECONNECT);
        if self.connected && !is_early && self.settings.servers.len() > 1 {
            self.reconnected = Some(Instant::now());
            log::info!("engine: no answer: another server is asked");
            let _ = self.client.force_reconnect().await;
        }
    }
}

impl Served {
    fn stop_following(&mut self) {
        if let Some((_, _, task)) = self.following.take() {
            task.abort();
        }
    }
}

/// See [`super::Client::charter`].
async fn find_charter(
    client: &Client,
    settings: &Settings,
    proposed: Option<Charter>,
) -> Result<Option<Charter>, ClientError> {
    let server = client.server_info();
    if !streams::is_recent(&server.version) {
        return Err(ClientError(format!(
            "engine: {} is nats-server {}: 2.15 or later is needed",
            server.server_name, server.version
        )));
    }
    let payload_min = MESSAGE_BYTES_MAX + HEADERS_BYTES_MAX;
    if server.max_payload < payload_min {
        return Err(ClientError(format!(
            "engine: {} has max_payload {}: {payload_min} is needed",
            server.server_name, server.max_payload
        )));
    }
    let names = Names::of(settings);
    let replicas = settings.replicas();
    until_done(async || {
        let found = attempt(client, &names, replicas, proposed.as_ref()).await;
        found.map_err(|why| format!("JetStream does not answer ({why})"))
    })
    .await
}

/// See [`super::Client::seed`] and [`super::Client::fetch`].
async fn use_store(
    client: &Client,
    settings: &Settings,
    asked: &Stored,
) -> Result<bool, ClientError> {
    let context = async_nats::jetstream::new(client.clone());
    let names = Names::of(settings);
    until_done(async || {
        let done = match asked {
            Stored::Fetch(shard, file) => store::fetch(&context, &names, *shard, file)
                .await
                .map(|found| Ok(found.is_some())),
            Stored::Seed(file) => store::seed(&context, &names, settings.replicas(), file)
                .await
                .map(|seeded| seeded.map(|()| true)),
        };
        done.map_err(|why| format!("its store does not answer ({why})"))
    })
    .await
}

/// Looks for the charter, and founds where there is none. `Err`: the engine does not answer now, and why.
async fn attempt(
    client: &Client,
    names: &Names,
    replicas: usize,
    proposed: Option<&Charter>,
) -> Result<Result<Option<Charter>, ClientError>, String> {
    let log = names.log_stream();
    let ask = |verb, stream, body| ask_of_stream(client, verb, stream, body);
    let mut info = ask("INFO", &log, String::new()).await?;
    if info.error_code() == Some(streams::STREAM_NOT_FOUND) {
        let Some(proposed) = proposed else {
            return Ok(Ok(None));
        };
        if replicas == 1 {
            log::warn!("engine: one server was given: its loss is the loss of everything");
        }
        let config = names.log_config(replicas, proposed);
        let made = ask("CREATE", &log, config.to_string()).await?;
        // Somebody else may have been faster.
        if !matches!(made.error_code(), None | Some(streams::NAME_IN_USE)) {
            return refusal(&made, &log);
        }
        info = ask("INFO", &log, String::new()).await?;
    }
    if info.error.is_some() {
        return refusal(&info, &log);
    }
    let charter = match info.charter() {
        Ok(charter) => charter,
        Err(error) => return Ok(Err(error)),
    };
    let checked = info.check(&names.log_config(replicas, &charter));
    if let Err(error) = checked {
        return Ok(Err(error));
    }
    let (lease, wanted) = (names.lease_stream(), names.lease_config(replicas));
    let made = ask("CREATE", &lease, wanted.to_string()).await?;
    if !matches!(made.error_code(), None | Some(streams::NAME_IN_USE)) {
        return refusal(&made, &lease);
    }
    let info = ask("INFO", &lease, String::new()).await?;
    if info.error.is_some() {
        return refusal(&info, &lease);
    }
    Ok(info.check(&wanted).map(|()| Some(charter)))
}

/// See [`super::Client::amend`].
async fn amend(client: &Client, settings: &Settings, charter: &Charter) -> Result<(), ClientError> {
    let log = Names::of(settings).log_stream();
    let ask = async |verb: &str, body: String| {
        let reply = ask_of_stream(client, verb, &log, body).await?;
        match reply.error {
            None => Ok(Ok(reply)),
            Some(_) => refusal(&reply, &log),
        }
    };
    until_done(async || {
        let amended = async {
            let mut config = match ask("INFO", String::new()).await? {
                Ok(info) => info.config,
                Err(error) => return Ok(Err(error)),
            };
            // What else is there stays: servers note things of their own.
            for (name, value) in charter.to_metadata() {
                config["metadata"][name] = value.into();
            }
            let updated = ask("UPDATE", config.to_string()).await?;
            Ok(updated.map(drop))
        };
        amended
            .await
            .map_err(|why: String| format!("JetStream does not answer ({why})"))
    })
    .await
}

/// A request to the API about a stream. `Err`: why there is no answer.
async fn ask_of_stream(
    client: &Client,
    verb: &str,
    stream: &str,
    body: String,
) -> Result<streams::Reply, String> {
    let timeout = Duration::from_nanos(3 * ENGINE_ANSWER_NS);
    let subject = format!("$JS.API.STREAM.{verb}.{stream}");
    let reply = requests::call(client, subject, body, timeout).await;
    reply.map_err(|error| error.to_string())
}

/// What the API does not do: for good, or for now.
fn refusal<T>(reply: &streams::Reply, stream: &str) -> Result<Result<T, ClientError>, String> {
    let error = reply.error.as_ref();
    let (code, description) = error.map_or((0, ""), |it| (it.err_code, &*it.description));
    match streams::NOT_ENABLED.contains(&code) {
        true => Ok(Err(ClientError(format!(
            "engine: {description}: JetStream must be enabled for this account"
        )))),
        // No leader yet, no room, too few servers: all may pass.
        false => Err(format!("{stream}: {description}")),
    }
}
