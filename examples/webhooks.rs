//! Delivers webhooks: a worker that takes each work order `webhooks.deliver.requested` and posts its event to its address,
//! signed as Standard Webhooks say (<https://www.standardwebhooks.com>).
//!
//! ```text
//! ANNALS_WEBHOOK_SECRET=whsec_.. cargo run --example webhooks -- STORE
//! ```
//!
//! A work order's data is `{"subscription": "webhookSubscription/ID", "url": "https://..", ..}`; the event to be told of is
//! the one that caused it, and is posted as CloudEvents JSON. This example speaks plain HTTP; for HTTPS give `ureq` its feature `rustls`. Whoever may write addresses into a store may have this
//! process call them: in earnest, refuse those of your own network.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use annals::{BoxError, Query, Store, WorkerBuilder, WorkerHandle, permanent, write_event};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;

/// What is to be delivered, and where.
#[derive(Debug, Deserialize)]
pub struct WorkOrder {
    /// The subject of the subscription.
    pub subscription: String,
    /// The address.
    pub url: String,
}

/// The signature of a message under a secret `whsec_..`: `v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64.
///
/// # Errors
/// If the secret is none.
pub fn sign(secret: &str, id: &str, timestamp: u64, body: &str) -> Result<String, BoxError> {
    let key = secret.strip_prefix("whsec_").ok_or("a secret begins with whsec_")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(key)?)?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// A worker that delivers the work orders of a store. `secret` gives the secret of a subscription.
///
/// # Errors
/// As `WorkerBuilder::run`.
pub fn deliver(
    store: &Store,
    worker: WorkerBuilder,
    secret: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> annals::Result<WorkerHandle> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(20)))
        .http_status_as_error(false)
        .max_redirects(0)
        .build();
    let agent = config.new_agent();
    let store = store.clone();
    worker.on(Query::all().types(["webhooks.deliver.requested"])).run(move |event, step| {
        let order: WorkOrder = event.json().map_err(permanent)?;
        let told = event.causation().map(|cause| store.reader().event(cause)).transpose()?.flatten();
        let told = told.ok_or_else(|| permanent("no event is the cause of this work order"))?;
        let mut body = Vec::new();
        write_event(&told.as_ref(), &mut body);
        let body = String::from_utf8(body).map_err(permanent)?;
        let secret = secret(&order.subscription).ok_or_else(|| permanent("the subscription has no secret"))?;
        step.run("post", || -> Result<u16, BoxError> {
            // The same id each time, so that a receiver can tell a repetition; the time is that of the attempt.
            let id = event.id();
            let timestamp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
            let response = agent
                .post(&order.url)
                .header("content-type", "application/cloudevents+json")
                .header("webhook-id", &*id)
                .header("webhook-timestamp", timestamp.to_string())
                .header("webhook-signature", sign(&secret, &id, timestamp, &body).map_err(permanent)?)
                .send(&body)?;
            match response.status().as_u16() {
                status @ 200..=299 => Ok(status),
                // Gone: nobody there wants any more.
                410 => Err(permanent("the receiver is gone (410)").into()),
                status => Err(format!("the receiver answered {status}").into()),
            }
        })?;
        Ok(())
    })
}

fn main() -> Result<(), BoxError> {
    let path = std::env::args().nth(1).ok_or("give the directory of a store")?;
    let secret = std::env::var("ANNALS_WEBHOOK_SECRET")?;
    let store = Store::open(path)?;
    let webhooks = store.worker("webhooks").concurrency(8).retries(10);
    let webhooks = webhooks.key(|order| order.json::<WorkOrder>().map(|order| order.url).unwrap_or_default());
    let handle = deliver(&store, webhooks, move |_| Some(secret.clone()))?;
    loop {
        std::thread::sleep(Duration::from_secs(10));
        println!("{:?}", handle.status());
    }
}
