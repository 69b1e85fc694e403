//! What a reader does with the report: looks, filters, opens evidence, navigates by keyboard; and what a hostile name cannot do.

use super::browser::Run;
use anyhow::{Context, Result, ensure};
use fantoccini::{Client, Locator, key::Key};
use flowproof::report::html;
use flowproof_core::{
    outcome::{Episode, Outcome, Watched, WatchedFlow, What, read},
    verdict::{Kind, Reason},
};
use serde_json::Value;

const SAVED: &str = include_str!("../../runner/core/src/outcome/read/version-1.json");
const HOSTILE: &str =
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">";

/// The trials, by name.
pub const ALL: &[(&str, Run)] = &[
    ("the page needs nothing from elsewhere and has no errors", |client| Box::pin(whole(client))),
    ("names cannot become part of the page", |client| Box::pin(hostile(client))),
    ("the filter hides what does not fit", |client| Box::pin(filter(client))),
    ("a click shows the evidence, and Escape closes it", |client| Box::pin(evidence(client))),
    ("the keyboard walks through a table", |client| Box::pin(keyboard(client))),
    ("a watch has its leaks in a timeline", |client| Box::pin(timeline(client))),
    ("the graph has its lines by verdict, and the keyboard shows what an end reaches", |client| {
        Box::pin(graph(client))
    }),
    ("it fits a phone", |client| Box::pin(phone(client))),
];

/// A report with an allowed flow that matched, a denied one that leaks, a hostile name, and a watch.
pub fn page() -> Result<String> {
    let mut outcome: Outcome = read(SAVED)?;
    let scenario = &mut outcome.scenarios[0];
    HOSTILE.clone_into(&mut scenario.claim);
    let leaking = &mut scenario.steps[0].flows[1];
    (leaking.verdict, leaking.reason, leaking.text) =
        (Kind::Mismatched, Reason::NotEnforced, HOSTILE.to_owned());
    let episode = Episode {
        what: What::Leak,
        from_ms: 2500,
        until_ms: 5000,
        open: false,
        attempts: 25,
        source_node: "node1".to_owned(),
        destination_node: Some("node2".to_owned()),
        observation: None,
        witness: None,
        why: None,
    };
    let flow = WatchedFlow {
        flow: leaking.flow.clone(),
        family: leaking.family,
        expectation: leaking.expectation,
        at: leaking.at.clone(),
        attempts: 100,
        losses: 0,
        episodes: vec![episode],
        untold: 0,
    };
    scenario.watched = Some(Watched {
        from_ms: 0,
        until_ms: 10_000,
        interval_ms: 100,
        flows: vec![flow],
        kept: Vec::new(),
        starts: Vec::new(),
        probers: Vec::new(),
    });
    Ok(html::html(&outcome)?)
}

async fn js(client: &Client, script: &str) -> Result<Value> {
    Ok(client.execute(&format!("return {script}"), Vec::new()).await?)
}

async fn whole(client: Client) -> Result<()> {
    let outside = js(&client, "performance.getEntriesByType('resource').length").await?;
    ensure!(outside == 0, "{outside} resources were loaded");
    let count = client.find(Locator::Id("count")).await?.text().await?;
    ensure!(count == "2 of 2 shown", "the script did not come to its end: {count:?}");
    Ok(())
}

async fn hostile(client: Client) -> Result<()> {
    let title = client.title().await?;
    ensure!(title == "flowproof: i648cy", "{title}");
    let images = client.find_all(Locator::Css("img")).await?.len();
    ensure!(images == 0, "{images} images");
    let heading = client.find(Locator::Css("section[data-scenario] h2")).await?.text().await?;
    ensure!(heading.contains(HOSTILE), "{heading}");
    client.find(Locator::Css(".flow.mismatched")).await?.click().await?;
    let shown = client.find(Locator::Css("dialog h2")).await?.text().await?;
    ensure!(shown.contains("document.title='owned'") && client.title().await? == title, "{shown}");
    Ok(())
}

async fn visible(client: &Client) -> Result<Value> {
    js(client, "[...document.querySelectorAll('.flow')].filter(e => e.checkVisibility()).map(e => e.textContent.trim().slice(0, 1)).join('')").await
}

async fn filter(client: Client) -> Result<()> {
    ensure!(visible(&client).await? == "✔✘", "{}", visible(&client).await?);
    client.find(Locator::Css("button[data-verdict=matched]")).await?.click().await?;
    ensure!(visible(&client).await? == "✘", "{}", visible(&client).await?);
    client.find(Locator::Css("button[data-verdict=matched]")).await?.click().await?;
    client.find(Locator::Css("body")).await?.send_keys("/").await?;
    client.active_element().await?.send_keys("app/api tcp").await?;
    ensure!(visible(&client).await? == "✔", "{}", visible(&client).await?);
    client.active_element().await?.send_keys(" nothing has this").await?;
    let sections = js(
        &client,
        "[...document.querySelectorAll('section[data-scenario]')].filter(e => e.checkVisibility()).length",
    )
    .await?;
    ensure!(visible(&client).await? == "" && sections == 0, "{sections} sections");
    Ok(())
}

async fn evidence(client: Client) -> Result<()> {
    client.find(Locator::Css(".flow.matched")).await?.click().await?;
    let text = client.find(Locator::Css("dialog[open]")).await?.text().await?;
    ensure!(text.contains("it worked before the policies") && text.contains("source"), "{text}");
    client.active_element().await?.send_keys(&Key::Escape.to_string()).await?;
    let open = client.find_all(Locator::Css("dialog[open]")).await?.len();
    ensure!(open == 0, "the dialog is still open");
    Ok(())
}

async fn keyboard(client: Client) -> Result<()> {
    js(&client, "document.querySelector('td .flow').focus()").await?;
    let here = "[...document.querySelectorAll('td .flow')].indexOf(document.activeElement)";
    for (key, place) in [(Key::Right, 0), (Key::Down, 0), (Key::Left, 0)] {
        client.active_element().await?.send_keys(&key.to_string()).await?;
        let at = js(&client, here).await?;
        ensure!(at == place || at == 1, "{at}");
    }
    js(&client, "document.querySelector('td .flow').focus()").await?;
    client.active_element().await?.send_keys(&Key::Enter.to_string()).await?;
    client.find(Locator::Css("dialog[open]")).await.context("Enter opens the evidence")?;
    Ok(())
}

async fn timeline(client: Client) -> Result<()> {
    let script = "(() => { const mark = document.querySelector('[data-words] .mark.leak'), track = mark.parentElement; \
        const a = mark.getBoundingClientRect(), b = track.getBoundingClientRect(); \
        return [Math.round((a.left - b.left) / b.width * 100), Math.round(a.width / b.width * 100)]; })()";
    let place = js(&client, script).await?;
    ensure!(place == serde_json::json!([25, 25]), "a leak from 2.5 s to 5 s of 10 s stands at {place}");
    client.find(Locator::Css("[data-words] .mark.leak")).await?.click().await?;
    let text = client.find(Locator::Css("dialog[open]")).await?.text().await?;
    ensure!(text.contains("leak from 2.5 s to 5.0 s") && text.contains("node1 -> node2"), "{text}");
    Ok(())
}

async fn graph(client: Client) -> Result<()> {
    let lines = js(
        &client,
        "[...document.querySelectorAll('.graph .line')].map(e => e.getAttribute('class')).sort().join()",
    )
    .await?;
    ensure!(lines == "line matched,line mismatched", "{lines}");
    let shown = js(&client, "[...document.querySelectorAll('.graph')].every(e => e.open && e.querySelector('svg').getBoundingClientRect().height > 50)").await?;
    ensure!(shown == true, "a graph is not shown");
    js(&client, "document.querySelector('.graph summary').focus()").await?;
    client.active_element().await?.send_keys(&Key::Tab.to_string()).await?;
    let focused = js(&client, "document.activeElement.getAttribute('aria-label')").await?;
    ensure!(focused.as_str().is_some_and(|label| label.contains("reaches")), "{focused}");
    let dim = "document.querySelectorAll('.picture.dim').length";
    ensure!(js(&client, dim).await? == 1, "nothing is dimmed");
    let lit = js(
        &client,
        "(() => { const id = document.activeElement.dataset.id, has = (e, d) => e.dataset[d].split(' ').includes(id); \
            return [...document.querySelectorAll('.picture .line')].every(e => e.classList.contains('lit') === (has(e, 'from') || has(e, 'to'))); })()",
    )
    .await?;
    ensure!(lit == true, "other lines than its own are lit");
    client.active_element().await?.send_keys(&Key::Escape.to_string()).await?;
    ensure!(js(&client, dim).await? == 0, "it is still dimmed");
    Ok(())
}

async fn phone(client: Client) -> Result<()> {
    client.set_window_size(500, 900).await?;
    js(&client, "(document.body.style.maxWidth = '375px', 0)").await?;
    let wide = js(&client, "document.documentElement.scrollWidth > innerWidth").await?;
    ensure!(wide == false, "the page scrolls sideways");
    Ok(())
}
