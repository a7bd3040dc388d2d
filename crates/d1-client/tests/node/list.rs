//! Lists of objects.

use d1_client::{ClientOptions, ErrorKind, NodeClient, ObjectFilter, Result};
use d1_model::{DateTime, ObjectInfo};
use d1_testnode::{Action, Behaviour, Call, Catalog, Config, Fault, Scale, ScriptedNode, When};
use futures::{StreamExt, TryStreamExt};

use crate::support::{failed, id, member, node_with, noted, quick};

fn scale() -> Scale {
    Scale { packages: 5, objects: 5, smallest: 1, largest: 9, seed: 1 }
}

async fn scaled(largest_page: u64) -> ScriptedNode {
    let behaviour = Behaviour { largest_page, ..Behaviour::default() };
    let catalog = scale().catalog().unwrap();
    ScriptedNode::start(Config { catalog, behaviour, ..Config::default() }).await.unwrap()
}

async fn listed(client: &NodeClient, filter: &ObjectFilter) -> Result<Vec<ObjectInfo>> {
    client.list_objects(filter).try_collect().await
}

#[tokio::test]
async fn all_objects_are_listed_once_whatever_the_pages() {
    for (largest_page, page_size, pages) in
        [(1000, None, 1), (7, None, 4), (1000, Some(5), 5), (1000, Some(24), 2), (1, Some(9), 25)]
    {
        let node = scaled(largest_page).await;
        let (sink, notes) = noted();
        let options = ClientOptions { progress: sink, ..quick() };
        let client = NodeClient::new(&node.member_url(), &options).unwrap();
        let filter = ObjectFilter { page_size, ..ObjectFilter::default() };
        let found = listed(&client, &filter).await.unwrap();
        let expected: Vec<_> =
            node.look(|catalog| catalog.objects().map(|object| object.system_metadata().clone()).collect());
        assert_eq!(found.len(), 25);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.identifier, expected.identifier);
            assert_eq!(found.checksum.as_ref(), Some(&expected.checksum));
            assert_eq!((found.size, &found.date_modified), (Some(expected.size), &expected.date_modified));
        }
        assert_eq!(node.count(Call::List), pages);
        assert_eq!(notes.lock().unwrap().last().unwrap(), "listed 25 of 25");
    }
}

#[tokio::test]
async fn filters_are_understood() {
    let node = scaled(10).await;
    let client = member(&node);
    let date = |minute: i64| Some(DateTime::from_text(format!("2024-01-01T00:{minute:02}:00Z")));
    for (filter, expected) in [
        (ObjectFilter { from: date(20), ..ObjectFilter::default() }, 5),
        (ObjectFilter { to: date(20), ..ObjectFilter::default() }, 20),
        (ObjectFilter { from: date(3), to: date(9), ..ObjectFilter::default() }, 6),
        (ObjectFilter { format_id: Some("text/csv".to_owned()), ..ObjectFilter::default() }, 15),
        (ObjectFilter { identifier: Some(scale().map(3)), ..ObjectFilter::default() }, 1),
        (ObjectFilter { identifier: Some(id("nothing")), ..ObjectFilter::default() }, 0),
    ] {
        assert_eq!(listed(&client, &filter).await.unwrap().len(), expected, "{filter:?}");
    }
    let page = client.list_page(&ObjectFilter::default(), 5, 3).await.unwrap().value;
    assert_eq!((page.start, page.count, page.total, page.objects.len()), (5, 3, 25, 3));
}

#[tokio::test]
async fn pages_are_asked_for_as_they_are_needed() {
    let node = scaled(5).await;
    let stream = member(&node).list_objects(&ObjectFilter::default());
    assert_eq!(node.count(Call::List), 0);
    let some: Vec<_> = stream.take(6).collect().await;
    assert_eq!((some.len(), node.count(Call::List)), (6, 2));
}

#[tokio::test]
async fn an_empty_node_has_an_empty_list() {
    let node = ScriptedNode::serve(Catalog::default()).await.unwrap();
    assert_eq!(listed(&member(&node), &ObjectFilter::default()).await.unwrap(), []);
}

#[tokio::test]
async fn a_page_that_fails_is_asked_for_again() {
    let node = scaled(5).await;
    node.add_fault(Fault::new(Call::List, Action::CutAnswer { after: 100 }).when(When::Every(2)));
    assert_eq!(listed(&member(&node), &ObjectFilter::default()).await.unwrap().len(), 25);
    assert_eq!(node.count(Call::List), 11);
}

#[tokio::test]
async fn lists_without_end_are_ended() {
    let node = node_with(Call::List, Action::EndlessPages).await;
    let mut options = quick();
    options.limits.listed_objects = 5000;
    options.budget.requests_per_second = 10_000.0;
    let client = NodeClient::new(&node.member_url(), &options).unwrap();
    let error = failed(listed(&client, &ObjectFilter::default()).await);
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(node.count(Call::List), 6);
}

#[tokio::test]
async fn a_page_that_comes_again_is_found_out() {
    let node = scaled(5).await;
    node.add_fault(Fault::new(Call::List, Action::RepeatPages));
    let error = failed(listed(&member(&node), &ObjectFilter::default()).await);
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert_eq!(node.count(Call::List), 2);
}

#[tokio::test]
async fn a_list_that_stops_early_is_not_taken_for_whole() {
    let node = scaled(5).await;
    node.add_fault(Fault::new(Call::List, Action::EmptyPages).when(When::Nth(3)));
    let mut stream = member(&node).list_objects(&ObjectFilter::default());
    let mut found = 0;
    let error = loop {
        match stream.next().await.unwrap() {
            Ok(_) => found += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((found, error.kind()), (9, ErrorKind::Incomplete));
}

/// Objects change, vanish and arrive between the pages. Every object that stayed as it was must be listed.
#[tokio::test]
async fn no_object_is_missed_while_the_list_changes() {
    let orders: [fn(u64) -> String; 2] = [
        // A minute apart, as the catalog has them: the list is ordered by date.
        |_| String::new(),
        // All at one time: the list is in another order.
        |_| "2024-01-01T00:00:00.000+00:00".to_owned(),
    ];
    for (behaviour, date) in [Behaviour::default(), Behaviour::gmn()]
        .into_iter()
        .flat_map(|behaviour| orders.map(|date| (behaviour.clone(), date)))
    {
        for round in 0..25_u64 {
            let scale = Scale { packages: 8, objects: 5, smallest: 1, largest: 9, seed: round };
            let mut catalog = scale.catalog().unwrap();
            let all: Vec<_> = catalog.objects().map(|object| object.identifier().clone()).collect();
            for (number, identifier) in (0..).zip(&all) {
                let date = date(number);
                if !date.is_empty() {
                    catalog
                        .edit(identifier, |meta| meta.date_modified = Some(DateTime::from_text(date)))
                        .unwrap();
                }
            }
            let node =
                ScriptedNode::start(Config { catalog, behaviour: behaviour.clone(), ..Config::default() });
            let node = node.await.unwrap();
            let filter = ObjectFilter { page_size: Some(5), ..ObjectFilter::default() };
            let mut stream = member(&node).list_objects(&filter);
            let (mut found, mut changed) = (Vec::new(), Vec::new());
            let mut random = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            while let Some(object) = stream.next().await {
                found.push(object.unwrap().identifier);
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let chosen = &all[usize::try_from(random >> 33).unwrap() % all.len()];
                match (random >> 20) % 4 {
                    0 => node.change(|catalog| {
                        let now = format!("2025-01-01T00:00:{:02}Z", found.len());
                        catalog.edit(chosen, |meta| meta.date_modified = Some(DateTime::from_text(now)))
                    }),
                    1 => node.change(|catalog| Ok(_ = catalog.remove(chosen))),
                    _ => continue,
                }
                .unwrap();
                changed.push(chosen.clone());
            }
            let missing: Vec<_> =
                all.iter().filter(|object| !changed.contains(object) && !found.contains(object)).collect();
            assert!(missing.is_empty(), "round {round}, {behaviour:?}: {missing:?} of {}", all.len());
        }
    }
}
