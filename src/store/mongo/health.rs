//! How the database is.

use std::collections::BTreeMap;
use std::time::Instant;

use bson::{RawDocumentBuf, doc};
use mongodb::Collection;

use super::{MongoStore, indexes};
use crate::store::{Result, StoreHealth};

impl MongoStore {
    pub(super) async fn take_health(&self) -> Result<StoreHealth> {
        let place = self.place().await?;
        let started = Instant::now();
        self.read(place.database.run_command(doc! {"ping": 1})).await?;
        let round_trip = started.elapsed();
        let mut of_collections = BTreeMap::new();
        for collection in [&place.messages, &place.groups] {
            of_collections.insert(collection.name().to_owned(), self.index_keys(collection).await?);
        }
        let documents = self.read(place.messages.estimated_document_count()).await?;
        let stubs = self.count_stubs().await?;
        Ok(StoreHealth {
            // The two are not of one moment.
            messages_count: documents.saturating_sub(stubs),
            groups_count: self.read(place.groups.estimated_document_count()).await?,
            indexes: of_collections,
            round_trip,
        })
    }

    async fn index_keys(
        &self,
        collection: &Collection<RawDocumentBuf>,
    ) -> Result<BTreeMap<String, Vec<(String, i32)>>> {
        let present = self.present(collection).await?;
        let keyed = present.iter().filter_map(|index| {
            let name = index.options.as_ref()?.name.clone()?;
            let fields = indexes::fields(index);
            Some((name, fields.into_iter().map(|(field, way)| (field.to_owned(), way)).collect()))
        });
        Ok(keyed.collect())
    }
}
