// Package supabase is a client of Supabase's Management API: Edge Functions
// and their secrets, SQL, API keys and the project itself.
//
// Requests and responses are those of the generated client
// github.com/supabase/cli/pkg/api. This package adds what it lacks, in one
// place for all calls:
//
//   - It stays below the rate limits that the API announces, and waits for the
//     end of the window when one is exhausted. Concurrent calls share what they
//     learn about the limits.
//   - It retries calls after temporary failures, unless the server may have
//     carried out a call that must not be repeated. A write with an unknown
//     outcome is reported as [ErrOutcomeUnknown].
//   - Every wait ends when the context does.
//   - Responses are read up to a fixed size and validated.
//   - Errors are typed ([Error] and the Err... sentinels) and say what was
//     tried on which object, what the server said and what to do next. They
//     contain no secret, and no control character that could reach a terminal
//     or a log.
package supabase
