//! Starts chromedriver and a headless Chromium, opens a report in it, and ends both.

use anyhow::{Context, Result};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use std::{
    future::Future,
    io::{BufRead, BufReader},
    path::PathBuf,
    pin::Pin,
    process::{Child, Command, Stdio},
};

/// A trial: gets the browser with the report open.
pub type Run = fn(Client) -> Pin<Box<dyn Future<Output = Result<()>>>>;

/// The program that is missing, if one is.
pub fn missing() -> Option<&'static str> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let there = |program: &str| std::env::split_paths(&paths).any(|folder| folder.join(program).is_file());
    ["chromium", "chromedriver"].into_iter().find(|program| !there(program))
}

/// Runs a trial with a browser of its own.
pub fn with_page(run: Run) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let folder = tempfile::tempdir()?;
        let page = folder.path().join("report.html");
        std::fs::write(&page, super::trials::page()?)?;
        let (mut driver, port) = driver()?;
        let result = in_browser(port, &folder.path().join("profile"), page, run).await;
        driver.kill()?;
        driver.wait()?;
        result
    })
}

async fn in_browser(port: u16, profile: &std::path::Path, page: PathBuf, run: Run) -> Result<()> {
    let options = json!({"args": [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        format!("--user-data-dir={}", profile.display()),
    ]});
    let capabilities = [("goog:chromeOptions".to_owned(), options)].into_iter().collect();
    let client = ClientBuilder::new(HttpConnector::new())
        .capabilities(capabilities)
        .connect(&format!("http://127.0.0.1:{port}"))
        .await
        .context("open a browser")?;
    client.goto(&format!("file://{}", page.display())).await?;
    let result = run(client.clone()).await;
    client.close().await?;
    result
}

/// Starts chromedriver on a port that it chooses and says.
fn driver() -> Result<(Child, u16)> {
    let mut driver =
        Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let stdout = driver.stdout.take().context("its stdout is a pipe")?;
    let told = BufReader::new(stdout)
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
    let Some(port) = told else {
        driver.kill()?;
        driver.wait()?;
        anyhow::bail!("chromedriver did not say its port")
    };
    Ok((driver, port))
}
