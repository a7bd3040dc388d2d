//! Variants of resource maps that producers make and the samples lack.

use d1_model::{ErrorKind, Identifier, Oddity, ResourceMap, ResourceMapBuilder};

/// Wraps statements in an RDF/XML document whose base address is `R`.
fn document(statements: &str) -> String {
    format!(
        "<?xml version='1.0'?>
        <rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns:cito='http://purl.org/spar/cito/'
            xmlns:dcterms='http://purl.org/dc/terms/' xmlns:ore='http://www.openarchives.org/ore/terms/'
            xmlns:prov='http://www.w3.org/ns/prov#'>{}</rdf:RDF>",
        statements.replace("R/", "https://cn.dataone.org/cn/v2/resolve/")
    )
}

/// Describes a map `m` with members that have identifiers equal to the end of their URIs.
fn map_of(members: &[&str], statements: &str) -> String {
    let aggregates: String =
        members.iter().map(|name| format!("<ore:aggregates rdf:resource='R/{name}'/>")).collect();
    let described: String = members
        .iter()
        .map(|name| {
            format!(
                "<rdf:Description rdf:about='R/{name}'><dcterms:identifier>{name}</dcterms:identifier>
                <ore:isAggregatedBy rdf:resource='R/m#aggregation'/></rdf:Description>"
            )
        })
        .collect();
    document(&format!(
        "<rdf:Description rdf:about='R/m'><dcterms:identifier>m</dcterms:identifier>
        <ore:describes rdf:resource='R/m#aggregation'/></rdf:Description>
        <rdf:Description rdf:about='R/m#aggregation'>{aggregates}</rdf:Description>{described}{statements}"
    ))
}

/// Renders a map as its identifier and, for each member, `name@location*>documented,…`, and its oddities as codes.
fn facts(document: &str) -> (String, Vec<String>, Vec<String>) {
    let parsed = ResourceMap::parse(document.as_bytes()).unwrap();
    let map = &parsed.value;
    let members = map.members().iter().enumerate().map(|(position, member)| {
        let mut text = member.identifier().to_string();
        if let Some(location) = member.at_location() {
            text.push_str(&format!("@{location}"));
        }
        if member.is_resource_map() {
            text.push('*');
        }
        let documented: Vec<_> =
            map.documents(position).map(|member| member.identifier().to_string()).collect();
        if documented.is_empty() { text } else { format!("{text}>{}", documented.join(",")) }
    });
    let codes = |odd: &Oddity| format!("{} {} x{}", odd.code, odd.path, odd.occurrences);
    let identifier = map.identifier().map(|name| name.to_string()).unwrap_or_default();
    (identifier, members.collect(), parsed.oddities.iter().map(codes).collect())
}

#[track_caller]
fn check(document: &str, identifier: &str, members: &[&str], oddities: &[&str]) {
    let found = facts(document);
    assert_eq!(found.0, identifier);
    assert_eq!(found.1, members);
    assert_eq!(found.2, oddities);
}

#[test]
fn membership_stated_by_the_members_alone() {
    let text = document(
        "<rdf:Description rdf:about='R/m'><ore:describes rdf:resource='R/m#aggregation'/>
        <dcterms:identifier>m</dcterms:identifier></rdf:Description>
        <rdf:Description rdf:about='R/a'><dcterms:identifier>a</dcterms:identifier>
        <ore:isAggregatedBy rdf:resource='R/m#aggregation'/><cito:documents rdf:resource='R/b'/></rdf:Description>
        <rdf:Description rdf:about='R/b'><dcterms:identifier>b</dcterms:identifier>
        <ore:isAggregatedBy rdf:resource='R/m#aggregation'/><cito:isDocumentedBy rdf:resource='R/a'/></rdf:Description>",
    );
    check(&text, "m", &["a>b", "b"], &["one-way-aggregation ore:isAggregatedBy x2"]);
}

#[test]
fn one_object_under_several_uris() {
    // The aggregation has encoded addresses of version 2, the statements plain ones of version 1.
    let v1 = "https://cn.dataone.org/cn/v1/resolve/";
    let text = document(&format!(
        "<rdf:Description rdf:about='R/m'><dcterms:identifier>m</dcterms:identifier>
        <ore:describes rdf:resource='R/m#aggregation'/></rdf:Description>
        <rdf:Description rdf:about='R/m#aggregation'><ore:aggregates rdf:resource='R/urn%3Auuid%3A1'/>
        <ore:aggregates rdf:resource='R/urn%3Auuid%3A2'/></rdf:Description>
        <rdf:Description rdf:about='{v1}urn:uuid:1'><dcterms:identifier>urn:uuid:1</dcterms:identifier>
        <ore:isAggregatedBy rdf:resource='{v1}m#aggregation'/>
        <cito:documents rdf:resource='{v1}urn:uuid:2'/></rdf:Description>
        <rdf:Description rdf:about='{v1}urn:uuid:2'><dcterms:identifier>urn:uuid:2</dcterms:identifier>
        <prov:atLocation>data/x.csv</prov:atLocation>
        <ore:isAggregatedBy rdf:resource='{v1}m#aggregation'/>
        <cito:isDocumentedBy rdf:resource='{v1}urn:uuid:1'/></rdf:Description>"
    ));
    check(
        &text,
        "m",
        &["urn:uuid:1>urn:uuid:2", "urn:uuid:2@data/x.csv"],
        &[
            "one-way-aggregation ore:aggregates x2",
            "one-way-aggregation ore:isAggregatedBy x2",
            "missing-identifier ore:aggregates x2",
            "several-uris ore:aggregates x2",
        ],
    );
}

#[test]
fn folders_and_self_documentation() {
    let text = map_of(
        &["eml", "a"],
        "<rdf:Description rdf:about='R/eml'><cito:documents rdf:resource='R/eml'/><cito:documents rdf:resource='R/a'/>
        <cito:isDocumentedBy rdf:resource='R/eml'/></rdf:Description>
        <rdf:Description rdf:about='R/a'><cito:isDocumentedBy rdf:resource='R/eml'/>
        <prov:atLocation rdf:datatype='http://www.w3.org/2001/XMLSchema#string'>data/x/a.csv</prov:atLocation>
        <prov:atLocation>elsewhere</prov:atLocation></rdf:Description>",
    );
    check(&text, "m", &["eml>eml,a", "a@data/x/a.csv"], &["self-documentation cito:documents x1"]);
}

#[test]
fn nested_maps_by_uri_aggregation_and_type() {
    let text = map_of(
        &["a", "child#aggregation", "typed"],
        "<rdf:Description rdf:about='R/typed'><rdf:type rdf:resource='http://www.openarchives.org/ore/terms/ResourceMap'/>
        </rdf:Description>
        <rdf:Description rdf:about='R/a'><cito:documents rdf:resource='R/a'/></rdf:Description>
        <rdf:Description rdf:about='R/child'><dcterms:identifier>child</dcterms:identifier></rdf:Description>",
    )
    // An aggregation is not an object: it has no identifier of its own.
    .replace("<dcterms:identifier>child#aggregation</dcterms:identifier>", "");
    check(
        &text,
        "m",
        &["a>a", "child*", "typed*"],
        &["one-way-documentation cito:documents x1", "self-documentation cito:documents x1"],
    );
    let written = ResourceMap::parse(text.as_bytes()).unwrap().value.to_rdf_xml().unwrap();
    let (_, members, _) = facts(std::str::from_utf8(&written).unwrap());
    assert_eq!(members, ["a>a", "child*", "typed*"]);
}

#[test]
fn a_document_that_repeats_what_a_nested_map_says() {
    let inner = "<rdf:Description rdf:about='R/child'><dcterms:identifier>child</dcterms:identifier>
        <ore:describes rdf:resource='R/child#aggregation'/></rdf:Description>
        <rdf:Description rdf:about='R/child#aggregation'><ore:aggregates rdf:resource='R/x'/>
        <ore:aggregates rdf:resource='R/y'/><ore:aggregates rdf:resource='R/z'/></rdf:Description>";
    // The nested map comes first and has more members.
    let text =
        map_of(&["child", "eml"], "").replacen("<rdf:Description", &format!("{inner}<rdf:Description"), 1);
    let text = text.replace("R/", "https://cn.dataone.org/cn/v2/resolve/");
    check(
        &text,
        "m",
        &["child*", "eml"],
        &["several-aggregations ore:aggregates x1", "undocumented-member ore:aggregates x1"],
    );
}

#[test]
fn members_without_identifiers() {
    let text = map_of(&["a"], "<rdf:Description rdf:about='R/a'><cito:documents rdf:resource='R/a'/><cito:isDocumentedBy rdf:resource='R/a'/></rdf:Description>
        <rdf:Description rdf:about='R/m#aggregation'><ore:aggregates rdf:resource='urn:uuid:unknown'/>
        <ore:aggregates rdf:nodeID='n'/></rdf:Description>");
    check(
        &text,
        "m",
        &["a>a"],
        &[
            "one-way-aggregation ore:aggregates x2",
            "unidentified-member ore:aggregates x2",
            "self-documentation cito:documents x1",
        ],
    );
    let map = ResourceMap::parse(text.as_bytes()).unwrap().value;
    assert_eq!(map.unidentified_members()[0], "urn:uuid:unknown");
    assert_eq!(map.to_rdf_xml().unwrap_err().kind(), ErrorKind::NotWritable);
}

#[test]
fn identifiers_that_disagree_or_break_the_rules() {
    let text = map_of(&["a", "b"], "").replace(
        "<dcterms:identifier>a</dcterms:identifier>",
        "<dcterms:identifier>other</dcterms:identifier><dcterms:identifier>third</dcterms:identifier>",
    );
    let text = text.replace(
        "<dcterms:identifier>b</dcterms:identifier>",
        "<dcterms:identifier>b c</dcterms:identifier>",
    );
    check(
        &text,
        "m",
        &["other", "b"],
        &[
            "several-identifiers dcterms:identifier x1",
            "invalid-value dcterms:identifier x1",
            "uri-disagrees ore:aggregates x1",
            "missing-identifier ore:aggregates x1",
            "undocumented-member ore:aggregates x2",
        ],
    );
}

#[test]
fn relations_to_what_is_no_member_and_the_map_as_its_own_member() {
    let text = map_of(
        &["a", "m"],
        "<rdf:Description rdf:about='R/a'><cito:documents rdf:resource='R/gone'/></rdf:Description>
        <rdf:Description rdf:about='R/a'><prov:wasDerivedFrom rdf:resource='R/outside'/></rdf:Description>",
    );
    check(
        &text,
        "m",
        &["a"],
        &[
            "self-aggregation ore:aggregates x1",
            "relation-to-non-member cito:documents x1",
            "undocumented-member ore:aggregates x1",
        ],
    );
}

#[test]
fn maps_that_nothing_describes() {
    let aggregation =
        "<rdf:Description rdf:about='R/m#aggregation'><ore:aggregates rdf:resource='R/a'/></rdf:Description>";
    check(
        &document(aggregation),
        "m",
        &["a"],
        &[
            "missing-map ore:describes x1",
            "missing-identifier ore:ResourceMap x1",
            "one-way-aggregation ore:aggregates x1",
            "missing-identifier ore:aggregates x1",
            "undocumented-member ore:aggregates x1",
        ],
    );
    let named = format!(
        "{aggregation}<rdf:Description rdf:about='R/m'><dcterms:identifier>m</dcterms:identifier></rdf:Description>"
    );
    assert_eq!(facts(&document(&named)).0, "m");
    let elsewhere =
        document("<rdf:Description rdf:about='urn:x'><ore:aggregates rdf:resource='R/a'/></rdf:Description>");
    assert_eq!(facts(&elsewhere).0, "");
    assert_eq!(
        ResourceMap::parse(elsewhere.as_bytes()).unwrap().value.to_rdf_xml().unwrap_err().kind(),
        ErrorKind::NotWritable
    );
}

#[test]
fn an_empty_aggregation_is_odd_and_none_is_an_error() {
    check(&map_of(&[], ""), "m", &[], &["empty-aggregation ore:aggregates x1"]);
    for text in [
        document(""),
        document("<rdf:Description rdf:about='R/a'><dcterms:title>t</dcterms:title></rdf:Description>"),
    ] {
        assert_eq!(ResourceMap::parse(text.as_bytes()).unwrap_err().kind(), ErrorKind::WrongDocument);
    }
}

#[test]
fn characters_that_no_uri_may_have() {
    let text = map_of(&["{21132B83-7CD4}", "https://pasta.lternet.edu/p/2/3"], "");
    check(
        &text,
        "m",
        &["{21132B83-7CD4}", "https://pasta.lternet.edu/p/2/3"],
        &["undocumented-member ore:aggregates x2"],
    );
}

#[test]
fn the_order_in_which_members_are_named_does_not_matter() {
    let names: Vec<Identifier> =
        ["b", "a", "doi:10.5063/é&<>\"'", "eml"].iter().map(|name| name.parse().unwrap()).collect();
    let build = |order: &[usize]| {
        let modified = d1_model::DateTime::from_text("2026-01-02T03:04:05.000+00:00");
        let mut builder =
            ResourceMapBuilder::new("m".parse().unwrap(), "d1-model", modified).title("Moorings & more");
        for position in order {
            builder.member_at(&names[*position], "data/a b.csv").documents(&names[3], &names[*position]);
        }
        builder.member(&"m".parse().unwrap());
        builder.build()
    };
    let map = build(&[0, 1, 2, 3]);
    assert_eq!(map, build(&[3, 2, 1, 0, 0]));
    let bytes = map.to_rdf_xml().unwrap();
    let parsed = ResourceMap::parse(&bytes).unwrap();
    assert_eq!(parsed.value, map);
    assert_eq!(parsed.oddities.len(), 1, "a self-documenting eml: {:?}", parsed.oddities);
    let expected = include_str!("expected/resource-map.rdf");
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn blank_nodes_with_a_colon_in_their_names_cost_no_package() {
    let creator = "<rdf:Description rdf:about='R/m'><dcterms:creator rdf:nodeID='_:r1500000000r42r1'/></rdf:Description>
        <rdf:Description rdf:nodeID='_:r1500000000r42r1'><foaf:name xmlns:foaf='http://xmlns.com/foaf/0.1/'>Ada</foaf:name>
        </rdf:Description>";
    let text = map_of(&["a", "b"], creator);
    let found = facts(&text);
    assert_eq!((found.0.as_str(), found.1), ("m", vec!["a".to_owned(), "b".to_owned()]));
    assert!(found.2.iter().any(|odd| odd == "invalid-node-id rdf:nodeID x2"), "{:?}", found.2);
    // Both names are still one node.
    let map = ResourceMap::parse(text.as_bytes()).unwrap().value;
    assert_eq!(map.creator(), Some("Ada"));
}

#[test]
fn an_identifier_that_is_the_resolve_address_names_what_the_address_names() {
    let text = document(
        "<rdf:Description rdf:about='R/m'><dcterms:identifier>R/m</dcterms:identifier>
        <ore:describes rdf:resource='R/m#aggregation'/></rdf:Description>
        <rdf:Description rdf:about='R/m#aggregation'><ore:aggregates rdf:resource='R/doi%3A10.1%2Fa'/></rdf:Description>
        <rdf:Description rdf:about='R/doi%3A10.1%2Fa'><dcterms:identifier>R/doi%3A10.1%2Fa</dcterms:identifier>
        <ore:isAggregatedBy rdf:resource='R/m#aggregation'/></rdf:Description>",
    );
    let found = facts(&text);
    assert_eq!((found.0.as_str(), found.1), ("m", vec!["doi:10.1/a".to_owned()]));
    assert_eq!(found.2, ["identifier-is-uri dcterms:identifier x2", "undocumented-member ore:aggregates x1"]);
}
