//! Definitions of several services in one directory, told apart by a label.

use std::borrow::Cow;
use std::sync::Arc;

use ringmeter_layout::definition::FamilyDefinition;
use ringmeter_layout::naming;

/// The definition with the service's label behind its own, and the names of its own. `None` for
/// the definition if there is no room for another label.
///
/// A label of the metric that has the same name is called `exported_…`, as a server would call it.
pub(super) fn labelled(
    definition: &FamilyDefinition,
    label: Option<Arc<str>>,
) -> (Option<Cow<'_, FamilyDefinition>>, Box<[Box<str>]>) {
    let own = definition.label_names.iter();
    let Some(label) = label else {
        return (Some(Cow::Borrowed(definition)), own.map(|name| name.as_str().into()).collect());
    };
    let renamed = |name: &String| {
        if **name == *label { format!("exported_{name}").into() } else { name.as_str().into() }
    };
    let names: Box<[Box<str>]> = own.map(renamed).collect();
    let mut labelled = definition.clone();
    labelled.label_names = names.iter().map(|name| name.to_string()).collect();
    labelled.label_names.push(label.to_string());
    let is_usable = naming::label_names(labelled.kind, &labelled.label_names).is_ok();
    (is_usable.then_some(Cow::Owned(labelled)), names)
}

#[cfg(test)]
mod tests {
    use ringmeter_layout::naming::{GaugeRule, Kind};

    use super::*;

    fn definition(label_names: &[&str]) -> FamilyDefinition {
        FamilyDefinition {
            id: 0,
            kind: Kind::Counter,
            gauge_rule: GaugeRule::Sum,
            name: "a_total".into(),
            help: String::new(),
            unit: String::new(),
            label_names: label_names.iter().map(|name| (*name).to_owned()).collect(),
            bounds: Vec::new(),
            objectives: Vec::new(),
            max_age_ms: 0,
            age_buckets: 0,
        }
    }

    #[test]
    fn the_label_comes_last_and_an_equal_one_is_renamed() {
        let own = definition(&["service", "code"]);
        let (labelled, names) = labelled(&own, Some("service".into()));
        assert_eq!(labelled.unwrap().label_names, ["exported_service", "code", "service"]);
        assert_eq!(*names, ["exported_service".into(), "code".into()]);
        let own = definition(&["service", "exported_service"]);
        assert!(super::labelled(&own, Some("service".into())).0.is_none());
        assert_eq!(super::labelled(&own, None).0.unwrap().label_names.len(), 2);
    }
}
