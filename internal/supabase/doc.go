// Package supabase is a client of Supabase's Management API: Edge Functions
// and their secrets, SQL, API keys and the project itself.
//
// Requests and answers are those of the generated client
// github.com/supabase/cli/pkg/api. This package adds what it lacks, in one
// place for all calls:
//
//   - It stays below the rate limits that the API announces, and waits for the
//     whole window when one is exhausted. Concurrent calls share what each of
//     them learned.
//   - It repeats calls that failed for a passing reason, and only those that do
//     no harm when the server had carried them out already. A write whose
//     outcome nobody knows is reported as [ErrOutcomeUnknown].
//   - Every wait ends when the context does.
//   - Answers are read up to a fixed size and checked before they are believed.
//   - Errors are typed ([Error] and the Err... sentinels) and say what was
//     tried on what, what the server said and what to do next. They hold no
//     secret, and no control character that could reach a terminal or a log.
package supabase
