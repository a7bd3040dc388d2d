//! The list of components of the program: CycloneDX 1.6 (<https://cyclonedx.org/docs/1.6/json/>).

use serde_json::{Value, json};

use crate::error::Result;
use crate::metadata::{Metadata, Package};

/// Returns the document as JSON. It has no serial number and no time, so the same commit gives the same bytes.
pub(super) fn cyclone_dx(metadata: &Metadata, program: &Package, target: &str) -> Result<Vec<u8>> {
    let linked = metadata.linked_into(&program.name);
    let components: Vec<Value> = linked
        .iter()
        .filter(|package| package.name != program.name)
        .map(|package| component(package, "library"))
        .collect();
    let mut main = component(program, "application");
    if let Some(main) = main.as_object_mut() {
        main.insert("properties".to_owned(), json!([{ "name": "target", "value": target }]));
    }
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": main },
        "components": components,
    });
    let mut bytes = serde_json::to_vec_pretty(&document)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn component(package: &Package, kind: &str) -> Value {
    let purl = format!("pkg:cargo/{}@{}", package.name, package.version);
    let mut component = json!({
        "type": kind,
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
    });
    let fields = component.as_object_mut();
    if let (Some(fields), Some(licence)) = (fields, &package.license) {
        // Older packages separate alternatives with a slash, which SPDX does not know.
        let expression = licence.replace('/', " OR ").replace("  ", " ");
        fields.insert("licenses".to_owned(), json!([{ "expression": expression }]));
    }
    component
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::cyclone_dx;
    use crate::metadata::{Metadata, host_platform};

    #[test]
    fn every_linked_package_is_listed_with_its_licence_and_no_other() {
        let platform = host_platform().unwrap();
        let metadata = Metadata::load().unwrap();
        let program = metadata.member("d1oci").unwrap();
        let bill: Value =
            serde_json::from_slice(&cyclone_dx(&metadata, program, &platform).unwrap()).unwrap();
        let components = bill["components"].as_array().unwrap();
        let has = |name: &str| components.iter().any(|component| component["name"] == name);
        assert!(has("tokio") && has("d1-model") && has("sha2"));
        assert!(!has("d1oci-tests") && !has("xtask") && !has("proptest"));
        assert!(components.iter().all(|component| component["licenses"][0]["expression"].is_string()));
        assert_eq!(bill["metadata"]["component"]["name"], "d1oci");
    }
}
