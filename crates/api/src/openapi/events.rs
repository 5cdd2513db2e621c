//! The events of stream and poll, as a union that `event` tells apart.

use std::borrow::Cow;

use domain::{
    event::EventName,
    wire::{
        DeleteData, EditData, Me, MemberData, Message, ReactionData, Seen, ThreadData, TitleData, Typing,
    },
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Discriminator, ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema, Type},
};

/// An event.
pub(super) struct Event;

/// The schemas of a list of components.
type Schemas = Vec<(String, RefOr<Schema>)>;

/// Adds the schema of a type with all that it refers to, and refers to it.
fn component<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
    Ref::from_schema_name(T::name().into_owned()).into()
}

/// The events that carry something, each with its data.
fn events(schemas: &mut Schemas) -> Vec<(EventName, RefOr<Schema>)> {
    let thread = OneOfBuilder::new()
        .item(component::<ThreadData<'_>>(schemas))
        .item(component::<TitleData<'_>>(schemas))
        .description(Some("A thread that was created, or of one that was renamed its id and title."));
    vec![
        (EventName::Message, component::<Message>(schemas)),
        (EventName::Edit, component::<EditData<'_>>(schemas)),
        (EventName::Delete, component::<DeleteData<'_>>(schemas)),
        (EventName::Reaction, component::<ReactionData<'_>>(schemas)),
        (EventName::Member, component::<MemberData<'_>>(schemas)),
        (EventName::Thread, RefOr::T(Schema::OneOf(thread.build()))),
        (EventName::Seen, component::<Seen>(schemas)),
        (EventName::Me, component::<Me>(schemas)),
        (EventName::Typing, component::<Typing>(schemas)),
    ]
}

/// The name of the schema of an event.
fn name_of(event: EventName) -> String {
    let (first, rest) = event.as_str().split_at(1);
    format!("{}Event", first.to_uppercase() + rest)
}

impl PartialSchema for Event {
    fn schema() -> RefOr<Schema> {
        let mut union = OneOfBuilder::new()
            .description(Some("An event. Later versions can have more: ignore those that you do not know."));
        let mut mapping = Vec::new();
        for (event, _) in events(&mut Vec::new()) {
            let schema = Ref::from_schema_name(name_of(event));
            mapping.push((event.as_str(), schema.ref_location.clone()));
            union = union.item(schema);
        }
        let union = union.discriminator(Some(Discriminator::with_mapping("event", mapping)));
        RefOr::T(Schema::OneOf(union.build()))
    }
}

impl ToSchema for Event {
    fn name() -> Cow<'static, str> {
        "Event".into()
    }

    fn schemas(schemas: &mut Schemas) {
        for (event, data) in events(schemas) {
            let text = || ObjectBuilder::new().schema_type(Type::String);
            let schema = ObjectBuilder::new()
                .property("event", text().enum_values(Some([event.as_str()])))
                .property("id", text().description(Some("The cursor behind it.")))
                .property("data", data)
                .required("event")
                .required("id")
                .required("data");
            schemas.push((name_of(event), schema.build().into()));
        }
    }
}
