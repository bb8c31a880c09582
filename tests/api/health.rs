//! What operators poll.

use reqwest::StatusCode;
use serde_json::json;

use crate::app::{TestApp, sent, to_user};

crate::on_both_stores![
    the_buffers_health_has_the_old_servers_figures_and_they_are_true,
    the_databases_health_names_counts_and_indexes,
    metrics_count_what_happens,
    metrics_have_the_names_of_the_old_dashboards,
    metrics_are_open_metrics_for_who_asks_for_that,
];

async fn the_buffers_health_has_the_old_servers_figures_and_they_are_true(app: TestApp) {
    let mut ann = app.user("ann").await;
    for _ in 0..12 {
        sent(&mut ann, to_user("bob", "x")).await;
    }
    app.flushed().await;
    let (status, health) = app.get("/health/message-buffer").await;
    assert_eq!((status, &health["status"]), (StatusCode::OK, &json!("healthy")));
    let stats = &health["stats"];
    assert_eq!(stats["total_messages"], json!(12));
    let flushes = stats["successful_flushes"].as_u64().unwrap();
    assert!((1..=12).contains(&flushes), "{stats}");
    for zero in [
        "failed_flushes",
        "retry_count",
        "circuit_breaker_trips",
        "failure_count",
        "current_buffer_size",
        "oldest_unflushed_ms",
        "buffer_bytes",
    ] {
        assert_eq!(stats[zero], json!(0), "{zero}");
    }
    assert!(stats["current_batch_size"].as_u64().unwrap() >= 1);
    assert!(stats["last_flush"].is_string());
    assert_eq!(stats["circuit_breaker_status"], "closed");
}

async fn the_databases_health_names_counts_and_indexes(app: TestApp) {
    app.group("ann", &["ann"]).await;
    let mut ann = app.user("ann").await;
    sent(&mut ann, to_user("bob", "x")).await;
    app.flushed().await;
    let (status, health) = app.get("/health/db").await;
    assert_eq!(status, StatusCode::OK, "{health}");
    assert_eq!((&health["messages_count"], &health["groups_count"]), (&json!(1), &json!(1)));
    for collection in ["messages", "groups"] {
        assert!(!health["indexes"][collection].as_object().unwrap().is_empty(), "{health}");
    }
    assert!(health["round_trip_ms"].as_f64().unwrap() > 0.0);
    assert!(health["pool"]["max"].as_u64().unwrap() > 0);
    assert_eq!(health["circuit_breaker_status"], "closed");
}

async fn metrics_count_what_happens(app: TestApp) {
    let (mut ann, _laptop) = (app.user("ann").await, app.user("ann").await);
    // To herself: another user's greeting may still count it as unread, and tell so.
    sent(&mut ann, to_user("ann", "x")).await;
    app.flushed().await;
    for (metric, value) in [
        ("banter_events_in_total{event=\"send_message\"}", 1.0),
        ("banter_events_out_total{event=\"message\"}", 1.0),
        ("banter_deliveries_total", 2.0),
        ("banter_dropped_packets_total", 0.0),
        ("banter_buffer_ops", 0.0),
        ("banter_buffer_breaker_state", 0.0),
    ] {
        assert_eq!(app.metric(metric).await, value, "{metric}");
    }
    let (status, health) = app.get("/health/ready").await;
    assert_eq!((status, &health["auth_mode"]), (StatusCode::OK, &json!("open")));
    assert_eq!(app.get("/health/live").await.0, StatusCode::OK);
}

async fn metrics_have_the_names_of_the_old_dashboards(app: TestApp) {
    let (mut ann, laptop) = (app.user("ann").await, app.user("ann").await);
    sent(&mut ann, to_user("ann", "x")).await;
    ann.emit_ack("made_up", json!({})).await;
    for (metric, value) in [
        ("ws_connections_active", 2.0),
        ("ws_messages_total", 1.0),
        ("ws_messages_received_total", 2.0),
        ("ws_messages_sent_total", 2.0),
        ("ws_disconnections_total", 0.0),
        ("user_registrations_total", 0.0),
    ] {
        assert_eq!(app.metric(metric).await, value, "{metric}");
    }
    drop(laptop);
    while app.metric("ws_disconnections_total").await < 1.0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(app.metric("ws_connections_active").await, 1.0);
    for metric in ["cpu_usage_percent", "memory_usage_percent", "disk_usage_percent"] {
        let percent = app.metric(metric).await;
        assert!((0.0..=100.0).contains(&percent), "{metric} {percent}");
    }
    assert!(app.metric("memory_usage_mb").await > 1.0);
}

async fn metrics_are_open_metrics_for_who_asks_for_that(app: TestApp) {
    let url = format!("http://{}/metrics", app.addr);
    for (accept, content_type, counter) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", "\n# TYPE ws_messages_total counter"),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "\n# TYPE ws_messages counter",
        ),
    ] {
        let answer = crate::web::client().get(&url).header("accept", accept).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], content_type);
        let text = answer.text().await.unwrap();
        assert!(text.contains(counter), "{text}");
        assert_eq!(text.ends_with("# EOF\n"), content_type.starts_with("application"), "{text}");
    }
}
