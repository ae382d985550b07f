//! Serving as Prometheus' exporters do: TLS, users, limits, sockets; and clients that mean harm.
#![allow(clippy::expect_used, reason = "a test that lost its footing must fail loudly")]

#[path = "web/hostile.rs"]
mod hostile;
#[path = "web/settings.rs"]
mod settings;
#[path = "web/sockets.rs"]
mod sockets;
#[path = "web/tls.rs"]
mod tls;
#[path = "web/users.rs"]
mod users;
