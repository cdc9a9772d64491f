// Package dotnet has the value types whose form on the wire .NET peers care
// about: [DateTimeOffset], [Guid] and [Dictionary]. Use them in the arguments and
// results of hubs that .NET clients call, in place of time.Time, of a string and
// of a map whose order counts.
//
// The first two are strings in JSON. In MessagePack a Guid is a string too, a
// DateTimeOffset an array of a timestamp and minutes. Neither can be null: use a
// pointer for that.
//
// A time.Time needs no help to be read by a .NET DateTime: it is written in RFC
// 3339 in JSON and as a timestamp in MessagePack.
package dotnet
