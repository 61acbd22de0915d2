/** Which tests must fail, and no others. */
export const STATE_STORE_FAILURES: Readonly<Record<string, readonly string[]>> = {
  'a failed body leaves its writes': [
    'commits nothing of a body that throws, and passes its error on',
    'refuses a body that returns a promise, and commits nothing of it',
    'keeps transactions apart: one that fails takes nothing from those beside it',
    'says STATE_UNAVAILABLE when a commit fails, commits nothing, and goes on',
  ],
  'keeps the object that was put': ['copies values in: changing what was put changes nothing'],
  'hands out the object that it holds': ['copies values out: changing what was read changes nothing'],
  'lists in the order of writing': ['lists in key order, whatever the order of writing'],
  'orders whole texts, not parts': ['lists in key order, whatever the order of writing'],
  'takes a prefix for text: `a` lists `ab`': ['lists exactly what lies below a prefix'],
  'lists the entry at the prefix': ['lists exactly what lies below a prefix'],
  'takes any text for a key': ['takes the longest keys, and refuses malformed ones with STATE_KEY_INVALID'],
  'takes a corrupt record for an absent one': [
    'garbage: STATE_CORRUPT for get, left out of list, reported by unreadable, kept until deleted',
  ],
  'reads records of a newer version': [
    'newer: STATE_VERSION for get, left out of list, reported by unreadable, kept until deleted',
  ],
  'tidies unreadable records away': [
    'garbage: STATE_CORRUPT for get, left out of list, reported by unreadable, kept until deleted',
    'newer: STATE_VERSION for get, left out of list, reported by unreadable, kept until deleted',
  ],
  'says nothing of unreadable records': [
    'garbage: STATE_CORRUPT for get, left out of list, reported by unreadable, kept until deleted',
    'newer: STATE_VERSION for get, left out of list, reported by unreadable, kept until deleted',
  ],
  'commits bodies that return promises': ['refuses a body that returns a promise, and commits nothing of it'],
  'lets the view outlive the body': ['ends the view with the body: later use is a TypeError'],
  'hides its own writes from the body': ['returns what the body returned, and shows the body its own writes'],
  'loses updates: reads before it waits': [
    'runs each body once and by itself: concurrent increments all count',
    'keeps transactions apart: one that fails takes nothing from those beside it',
    'multiProcess: increments of several instances all count',
  ],
  'runs a body again when it took long': ['runs each body once and by itself: concurrent increments all count'],
  'goes on after an abort': ['does nothing when the signal has fired, and passes its reason on'],
  'wraps the reason of an abort': ['does nothing when the signal has fired, and passes its reason on'],
  'works after stop()': ['after stop(), which may come twice, every call says STATE_UNAVAILABLE'],
  'fails at a second stop()': [
    'after stop(), which may come twice, every call says STATE_UNAVAILABLE',
    'durable: what was committed is there after stop() and reopening',
  ],
  'always says that it deleted': [
    'tells whether what it deleted was there',
    'returns what the body returned, and shows the body its own writes',
  ],
  'turns what is not JSON into null': [
    'leaves undefined properties out, and refuses what is not JSON with a TypeError',
  ],
  'keeps half of a commit that failed': ['says STATE_UNAVAILABLE when a commit fails, commits nothing, and goes on'],
  'swallows the failure of a commit': ['says STATE_UNAVAILABLE when a commit fails, commits nothing, and goes on'],
  'is gone when it is reopened': [
    'durable: what was committed is there after stop() and reopening',
    "multiProcess: instances see each other's commits at once",
    'multiProcess: increments of several instances all count',
  ],
  'reads from a cache of its own': ["multiProcess: instances see each other's commits at once"],
};
