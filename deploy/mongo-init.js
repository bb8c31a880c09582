// Makes three members a replica set. It may run again: a set that is there stays as it is.
const members = ["mongo-1", "mongo-2", "mongo-3"];

function hasSet() {
  try {
    return rs.status().ok === 1;
  } catch (error) {
    if (error.codeName === "NotYetInitialized") return false;
    throw error;
  }
}

if (!hasSet()) {
  rs.initiate({
    _id: "rs0",
    members: members.map((name, _id) => ({ _id, host: `${name}:27017` })),
  });
}

const start = Date.now();
while (!rs.status().members.some((member) => member.stateStr === "PRIMARY")) {
  if (Date.now() - start > 60_000) throw new Error("the replica set has no primary after 60 s");
  sleep(500);
}
print("the replica set has a primary");
