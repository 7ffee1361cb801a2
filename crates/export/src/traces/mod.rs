//! Traces by OTLP: what happened in a session as spans, made of what goes into the audit log.
//!
//! [`Tracer::over`] stands before the audit log and hands a copy of what a span needs to a queue; [`spans`] makes spans of
//! it, in a task of its own, and another one sends them. Where they do not keep up, spans are dropped and counted:
//! nobody waits for them.
//!
//! Invariants:
//! - No statement, no value, no reason with a caller's words, and no secret is in a span.
//! - What is kept in memory is bounded: the queue, the sessions and requests that are open, the batches that wait.
mod encode;
mod spans;
#[cfg(test)]
mod tests;

use crate::{
    config::{Misconfigured, TlsFiles},
    sink::{checked, client},
};
use doorward_enforce::{AuditSink, AuditUnavailable, HttpCall, Ticket, TraceParent, TraceSink};
use doorward_model::{AuditEvent, AuditKind, AuditOutcome, RequestId, Secret, SessionId, Timestamp};
use parking_lot::Mutex;
use reqwest::{Client, StatusCode, Url, header::HeaderValue};
use spans::{Assembler, Span};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::MissedTickBehavior,
};

/// How many steps may wait to become spans.
const STEPS: usize = 16_384;
/// Spans in a request at most.
const BATCH: usize = 512;
/// How many requests may wait to be sent.
const BATCHES: usize = 16;
/// How often what is finished is sent.
const FLUSH: Duration = Duration::from_secs(1);
/// How often a request is tried that the collector does not take for the moment.
const TRIES: u32 = 3;
/// Ends of sessions that found no room in the queue, to forget their sessions all the same.
const LOST: usize = 65_536;

/// Where traces go.
#[derive(Clone, Debug)]
pub struct TraceTarget {
    /// The collector's address; without a path, `/v1/traces` is added (OTLP over HTTP, JSON).
    pub url: String,
    /// A bearer token for it.
    pub token: Option<Secret<String>>,
    /// Certificates.
    pub tls: TlsFiles,
    /// Which part of sessions is traced, from 0 to 1; callers who bring a trace of their own decide for their requests.
    pub sample: f64,
}

/// One thing that happened, as far as spans need it.
#[derive(Debug)]
struct Step {
    time: Timestamp,
    session: Option<SessionId>,
    what: What,
}

#[derive(Debug)]
enum What {
    Opened { connection: Arc<str>, client: String },
    Authenticated { principal: String },
    NotAuthenticated,
    Decided { request: RequestId, outcome: AuditOutcome, via: String, policies: Arc<[String]> },
    Completed { request: RequestId, result: String, rows: u64, masked: u64 },
    Fault { at_fault: String },
    Ended { client_bytes: u64, upstream_bytes: u64 },
    Belongs { request: RequestId, parent: TraceParent },
    Call(HttpCall),
}

/// Sends traces.
pub struct Tracer {
    steps: mpsc::Sender<Step>,
    lost: Arc<Mutex<Vec<SessionId>>>,
    counts: Arc<Counts>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    done: tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tracer({:?})", self.counts())
    }
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    fn drop_some(&self, n: usize) {
        self.dropped.fetch_add(n as u64, Ordering::Relaxed);
    }
}

impl Tracer {
    /// Whether a target can be one. Nothing is sent.
    ///
    /// # Errors
    /// Where it cannot.
    pub fn check(target: &TraceTarget) -> Result<(), Misconfigured> {
        Sender::new(target).map(drop)
    }

    /// Begins to send. In a Tokio runtime.
    ///
    /// # Errors
    /// Where the target is not one.
    pub fn start(target: &TraceTarget) -> Result<Arc<Self>, Misconfigured> {
        let sender = Sender::new(target)?;
        let counts = Arc::new(Counts::default());
        let (steps, queue) = mpsc::channel(STEPS);
        let (batches, waiting) = mpsc::channel(BATCHES);
        let (stop, stopped) = oneshot::channel();
        let lost = Arc::new(Mutex::new(Vec::new()));
        let assembling = Assembling {
            queue,
            lost: Arc::clone(&lost),
            assembler: Assembler::new(target.sample, Arc::clone(&counts)),
            batches,
            counts: Arc::clone(&counts),
        };
        tokio::spawn(assembling.run(stopped));
        let done = tokio::spawn(sender.run(waiting, Arc::clone(&counts)));
        Ok(Arc::new(Self { steps, lost, counts, stop: Mutex::new(Some(stop)), done: Some(done).into() }))
    }

    /// An audit log of which spans are made.
    pub fn over(self: &Arc<Self>, log: Arc<dyn AuditSink>) -> Arc<dyn AuditSink> {
        Arc::new(Traced { log, tracer: Arc::clone(self) })
    }

    /// Sends what is finished, and ends; within this time.
    pub async fn stop(&self, limit: Duration) {
        drop(self.stop.lock().take());
        if let Some(done) = self.done.lock().await.take()
            && tokio::time::timeout(limit, done).await.is_err()
        {
            tracing::warn!("not all spans were sent in time");
        }
    }

    fn hand_over(&self, step: Step) {
        let Err(e) = self.steps.try_send(step) else { return };
        self.counts.drop_some(1);
        let step = match e {
            mpsc::error::TrySendError::Full(step) | mpsc::error::TrySendError::Closed(step) => step,
        };
        if let (Some(session), What::Ended { .. }) = (step.session, &step.what) {
            let mut lost = self.lost.lock();
            if lost.len() < LOST {
                lost.push(session);
            }
        }
    }
}

impl TraceSink for Tracer {
    fn belongs(&self, session: SessionId, request: RequestId, parent: TraceParent) {
        let what = What::Belongs { request, parent };
        self.hand_over(Step { time: Timestamp::from_micros(0), session: Some(session), what });
    }

    fn call(&self, call: HttpCall) {
        self.hand_over(Step { time: call.ended, session: None, what: What::Call(call) });
    }

    fn counts(&self) -> (u64, u64) {
        (self.counts.sent.load(Ordering::Relaxed), self.counts.dropped.load(Ordering::Relaxed))
    }
}

#[derive(Debug)]
struct Traced {
    log: Arc<dyn AuditSink>,
    tracer: Arc<Tracer>,
}

impl AuditSink for Traced {
    fn append(&self, event: &AuditEvent) -> Result<Ticket, AuditUnavailable> {
        let ticket = self.log.append(event)?;
        if let (Some(session), Some(what)) = (event.session, step(&event.kind)) {
            self.tracer.hand_over(Step { time: event.time, session: Some(session), what });
        }
        Ok(ticket)
    }

    fn committed(&self) -> Ticket {
        self.log.committed()
    }

    fn poll_committed(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<(), AuditUnavailable>> {
        self.log.poll_committed(ticket, cx)
    }
}

/// What a span takes of an entry.
fn step(kind: &AuditKind) -> Option<What> {
    Some(match kind {
        AuditKind::SessionOpened { connection, client } => {
            What::Opened { connection: connection.to_string().into(), client: client.clone() }
        }
        AuditKind::Authenticated { principal, .. } => What::Authenticated { principal: principal.to_string() },
        AuditKind::AuthenticationFailed { .. } => What::NotAuthenticated,
        AuditKind::Request { request, outcome, via, policies, .. } => {
            What::Decided { request: *request, outcome: *outcome, via: via.clone(), policies: Arc::clone(policies) }
        }
        AuditKind::Completed { request, result, rows, masked } => {
            What::Completed { request: *request, result: result.clone(), rows: *rows, masked: *masked }
        }
        AuditKind::Fault { at_fault, .. } => What::Fault { at_fault: at_fault.clone() },
        AuditKind::SessionEnded { client_bytes, upstream_bytes, .. } => {
            What::Ended { client_bytes: *client_bytes, upstream_bytes: *upstream_bytes }
        }
        AuditKind::GatewayStarted { .. }
        | AuditKind::GatewayStopped {}
        | AuditKind::FileCopied { .. }
        | AuditKind::ApprovalRequested { .. }
        | AuditKind::ApprovalDecided { .. }
        | AuditKind::ApprovalEscalated { .. }
        | AuditKind::ApprovalEnded { .. }
        | AuditKind::Cancel { .. }
        | AuditKind::PolicyChanged { .. }
        | AuditKind::Administration { .. } => return None,
    })
}

/// Makes spans of steps.
struct Assembling {
    queue: mpsc::Receiver<Step>,
    lost: Arc<Mutex<Vec<SessionId>>>,
    assembler: Assembler,
    batches: mpsc::Sender<Vec<Span>>,
    counts: Arc<Counts>,
}

impl Assembling {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut tick = tokio::time::interval(FLUSH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                step = self.queue.recv() => match step {
                    Some(step) => self.assembler.take(step),
                    None => break,
                },
                _ = tick.tick() => {
                    for session in std::mem::take(&mut *self.lost.lock()) {
                        self.assembler.forget(session);
                    }
                    self.assembler.settle();
                    self.send(1);
                }
                _ = &mut stopped => break,
            }
            self.send(BATCH);
        }
        self.queue.close();
        while let Ok(step) = self.queue.try_recv() {
            self.assembler.take(step);
        }
        self.assembler.settle();
        self.send(1);
    }

    /// Hands on what is finished, if it is at least so much.
    fn send(&mut self, least: usize) {
        while self.assembler.finished.len() >= least {
            let rest = self.assembler.finished.len().min(BATCH);
            let batch: Vec<Span> = self.assembler.finished.drain(..rest).collect();
            let length = batch.len();
            if self.batches.try_send(batch).is_err() {
                self.counts.drop_some(length);
            }
        }
    }
}

/// Sends spans.
struct Sender {
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
    host: String,
}

impl Sender {
    fn new(target: &TraceTarget) -> Result<Self, Misconfigured> {
        if !(0.0..=1.0).contains(&target.sample) {
            return Err(Misconfigured("sample has to be from 0 to 1".to_owned()));
        }
        let mut url = checked(&target.url)?;
        if url.path() == "/" {
            url.set_path("/v1/traces");
        }
        let authorization = target.token.as_ref().map(|t| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", t.expose()))
                .map_err(|_| Misconfigured("the token holds characters that no header can carry".to_owned()))?;
            value.set_sensitive(true);
            Ok(value)
        });
        let client = client(&url, &target.tls)?;
        Ok(Self { client, url, authorization: authorization.transpose()?, host: crate::sink::host() })
    }

    async fn run(self, mut batches: mpsc::Receiver<Vec<Span>>, counts: Arc<Counts>) {
        let mut is_failing = false;
        while let Some(batch) = batches.recv().await {
            let body = encode::request(&self.host, &batch).to_string();
            match self.send(body).await {
                Ok(()) => {
                    counts.sent.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    if std::mem::take(&mut is_failing) {
                        tracing::info!("traces are taken again");
                    }
                }
                Err(why) => {
                    counts.drop_some(batch.len());
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!("traces are dropped: {why}");
                    }
                }
            }
        }
    }

    async fn send(&self, body: String) -> Result<(), String> {
        let mut why = String::new();
        for again in 0..TRIES {
            if again > 0 {
                tokio::time::sleep(Duration::from_millis(500) * again).await;
            }
            let mut request = self.client.post(self.url.clone()).header("content-type", "application/json");
            if let Some(value) = &self.authorization {
                request = request.header("authorization", value);
            }
            match request.body(body.clone()).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => {
                    let status = answer.status();
                    why = format!("the collector answered {status}");
                    // What may be tried again (OTLP, "Retryable Response Codes").
                    let may = [
                        StatusCode::TOO_MANY_REQUESTS,
                        StatusCode::BAD_GATEWAY,
                        StatusCode::SERVICE_UNAVAILABLE,
                        StatusCode::GATEWAY_TIMEOUT,
                    ];
                    if !may.contains(&status) {
                        return Err(why);
                    }
                }
                Err(e) => why = format!("the collector cannot be reached: {}", e.without_url()),
            }
        }
        Err(why)
    }
}
