//! From a request to its reply.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{HeaderValue, CONTENT_TYPE, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::stream::Spoil;
use super::Processor;
use crate::answer::Answer;
use crate::body;
use crate::fault::Fault;
use crate::model::{Config, DELAY_MS_MAX, RETRY_AFTER_S};

/// Of a request.
const BODY_BYTES_MAX: usize = 64 * 1024;

const TOKEN_HEADER: &str = "x-rinha-token";

pub(super) async fn answer(
    processor: &Processor,
    spoil: &Spoil,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    let (answer, chunked) = if request.uri().path() == "/payments" {
        let (answer, fault) = payments(processor, request).await;
        match fault {
            Some(Fault::HangStored | Fault::HangLost) => pending().await,
            Some(fault) => spoil.set(fault),
            None => (),
        }
        (answer, fault.is_none() && processor.next_chunked())
    } else {
        let answer = other(processor, request).await;
        (answer, processor.next_chunked())
    };
    Ok(response(answer, chunked))
}

/// `POST /payments`, and the fault that its reply is to suffer.
async fn payments(processor: &Processor, request: Request<Incoming>) -> (Answer, Option<Fault>) {
    if request.method() != Method::POST {
        return (Answer::new(405, ""), None);
    }
    let fault = processor.next_fault();
    let read = read(request).await;
    let payment = match read.and_then(|body| body::payment(&body).map_err(bad_request)) {
        Ok(payment) => payment,
        Err(answer) => return (answer, fault),
    };
    let answer = match fault {
        Some(fault) if !fault.arrives() => Answer::new(200, ""),
        Some(Fault::HangStored) => {
            processor.pay_unheard(payment);
            Answer::new(200, "")
        }
        _ => Answer::of_reply(processor.pay(payment).await),
    };
    (answer, fault)
}

async fn other(processor: &Processor, request: Request<Incoming>) -> Answer {
    let path = request.uri().path();
    if path == "/payments/service-health" {
        return match *request.method() {
            Method::GET => Answer::of_reply(processor.health().await),
            _ => Answer::new(405, ""),
        };
    }
    if let Some(id) = path.strip_prefix("/payments/") {
        return match (request.method(), body::id(id)) {
            (&Method::GET, Some(id)) => {
                Answer::of_payment(processor.now(|model, now_ns| model.payment(now_ns, id)))
            }
            (&Method::GET, None) => Answer::new(404, ""),
            _ => Answer::new(405, ""),
        };
    }
    if !path.starts_with("/admin/") {
        return Answer::new(404, "");
    }
    let token = request
        .headers()
        .get(TOKEN_HEADER)
        .map(HeaderValue::as_bytes);
    let right = processor.now(|model, _| token == Some(model.config().token.as_bytes()));
    if !right {
        return Answer::new(401, "");
    }
    admin(processor, request)
        .await
        .unwrap_or_else(|answer| answer)
}

async fn admin(processor: &Processor, request: Request<Incoming>) -> Result<Answer, Answer> {
    let configure = |change: &mut dyn FnMut(&mut Config)| {
        processor.now(|model, now_ns| model.configure(now_ns, change));
    };
    let path = request.uri().path().to_owned();
    let expected = match path.as_str() {
        "/admin/payments-summary" => Method::GET,
        "/admin/purge-payments" => Method::POST,
        "/admin/configurations/token"
        | "/admin/configurations/delay"
        | "/admin/configurations/failure"
        | "/admin/configurations/faults" => Method::PUT,
        _ => return Err(Answer::new(404, "")),
    };
    if *request.method() != expected {
        return Err(Answer::new(405, ""));
    }
    match path.as_str() {
        "/admin/payments-summary" => summary(processor, request.uri().query().unwrap_or("")),
        "/admin/purge-payments" => {
            processor.now(|model, now_ns| model.purge(now_ns));
            Ok(Answer::new(200, r#"{"message":"All payments purged."}"#))
        }
        "/admin/configurations/token" => {
            let body: body::Token = read_json(request).await?;
            configure(&mut |config| config.token.clone_from(&body.token));
            Ok(Answer::new(204, ""))
        }
        "/admin/configurations/delay" => {
            let body: body::Delay = read_json(request).await?;
            if body.delay > DELAY_MS_MAX {
                return Err(bad_request(format!("more than {DELAY_MS_MAX} ms")));
            }
            configure(&mut |config| config.delay_ms = body.delay);
            Ok(Answer::new(200, "{}"))
        }
        "/admin/configurations/failure" => {
            let body: body::Failure = read_json(request).await?;
            configure(&mut |config| config.failing = body.failure);
            Ok(Answer::new(200, "{}"))
        }
        _ => {
            let body = read(request).await?;
            processor.set_plan(body::plan(&body).map_err(bad_request)?);
            Ok(Answer::new(200, "{}"))
        }
    }
}

fn summary(processor: &Processor, query: &str) -> Result<Answer, Answer> {
    let mut bounds = [None, None];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let bound = match name.as_ref() {
            "from" => &mut bounds[0],
            "to" => &mut bounds[1],
            _ => continue,
        };
        if !value.is_empty() {
            *bound = Some(body::bound(&value).map_err(bad_request)?);
        }
    }
    let [from_us, to_us] = bounds;
    Ok(processor.now(|model, now_ns| {
        let totals = model.summary(now_ns, from_us, to_us);
        Answer::of_summary(totals, model.config())
    }))
}

async fn read(request: Request<Incoming>) -> Result<Bytes, Answer> {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX);
    let body = body.collect().await;
    Ok(body
        .map_err(|error| bad_request(error.to_string()))?
        .to_bytes())
}

async fn read_json<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Answer> {
    let body = read(request).await?;
    serde_json::from_slice(&body).map_err(|error| bad_request(error.to_string()))
}

fn bad_request(reason: String) -> Answer {
    Answer::error(400, "Bad Request", &reason)
}

fn response(answer: Answer, chunked: bool) -> Response<Reply> {
    let bytes = match answer.body {
        std::borrow::Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        std::borrow::Cow::Owned(text) => Bytes::from(text),
    };
    let has_body = !bytes.is_empty();
    let mut response = Response::new(Reply {
        chunked: chunked && has_body,
        bytes,
    });
    *response.status_mut() = StatusCode::from_u16(answer.status).expect("one of ours");
    let headers = response.headers_mut();
    if has_body {
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        );
    }
    if answer.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
    }
    response
}

/// A reply's body.
pub(super) struct Reply {
    bytes: Bytes,
    /// In parts, each half of what is left, and without telling its length beforehand.
    chunked: bool,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let part_bytes = match self.chunked {
            true => self.bytes.len().div_ceil(2).max(16).min(self.bytes.len()),
            false => self.bytes.len(),
        };
        let part = self.bytes.split_to(part_bytes);
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty() && !self.chunked
    }

    fn size_hint(&self) -> SizeHint {
        match self.chunked {
            true => SizeHint::default(),
            false => SizeHint::with_exact(self.bytes.len() as u64),
        }
    }
}
