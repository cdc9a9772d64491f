package client_test

import (
	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/dotnet"
)

// The conformance hub, as a client sees it.

type person struct {
	Name string   `json:"name"`
	Age  int32    `json:"age"`
	Tags []string `json:"tags"`
	Nick *string  `json:"nick"`
}

const (
	echoString   hubwire.Method[string, string]                               = "EchoString"
	echoInt      hubwire.Method[int32, int32]                                 = "EchoInt"
	echoLong     hubwire.Method[int64, int64]                                 = "EchoLong"
	echoDouble   hubwire.Method[float64, float64]                             = "EchoDouble"
	echoBool     hubwire.Method[bool, bool]                                   = "EchoBool"
	echoBytes    hubwire.Method[[]byte, []byte]                               = "EchoBytes"
	echoTime     hubwire.Method[dotnet.DateTimeOffset, dotnet.DateTimeOffset] = "EchoTime"
	echoGuid     hubwire.Method[dotnet.Guid, dotnet.Guid]                     = "EchoGuid"
	echoNullable hubwire.Method[*string, *string]                             = "EchoNullable"
	echoPerson   hubwire.Method[person, person]                               = "EchoPerson"
	echoPeople   hubwire.Method[[]person, []person]                           = "EchoPeople"
	echoMap      hubwire.Method[map[string]int32, map[string]int32]           = "EchoMap"
	join3        hubwire.Method[joinArgs, string]                             = "Join3"
	nothing      hubwire.Command[hubwire.None]                                = "Nothing"
	fail         hubwire.Command[string]                                      = "Fail"
	failHub      hubwire.Command[string]                                      = "FailHub"
	renamed      hubwire.Method[string, string]                               = "renamed"
	connectionID hubwire.Method[hubwire.None, string]                         = "ConnectionId"
	userID       hubwire.Method[hubwire.None, *string]                        = "UserId"
	sleep        hubwire.Method[int32, int32]                                 = "Sleep"
	abort        hubwire.Command[hubwire.None]                                = "Abort"
	setItem      hubwire.Command[itemArgs]                                    = "Item"
	getItem      hubwire.Method[string, *string]                              = "GetItem"
	ask          hubwire.Method[string, *string]                              = "Ask"
	askClient    hubwire.Method[pair, *string]                                = "AskClient"
	askVoid      hubwire.Method[hubwire.None, *string]                        = "AskVoid"
	cancelled    hubwire.Method[hubwire.None, int64]                          = "Cancelled"

	count            hubwire.ServerStream[int32, int32]        = "Count"
	countSlowly      hubwire.ServerStream[slowlyArgs, int32]   = "CountSlowly"
	countChannel     hubwire.ServerStream[int32, int32]        = "CountChannel"
	countThenFail    hubwire.ServerStream[int32, int32]        = "CountThenFail"
	countThenFailHub hubwire.ServerStream[int32, int32]        = "CountThenFailHub"
	forever          hubwire.ServerStream[hubwire.None, int32] = "Forever"
	emptyStream      hubwire.ServerStream[hubwire.None, int32] = "EmptyStream"
	nullStream       hubwire.ServerStream[hubwire.None, int32] = "NullStream"

	sum          hubwire.ClientStream[int32, int32]   = "Sum"
	concat       hubwire.ClientStream[string, string] = "Concat"
	takeTwo      hubwire.ClientStream[int32, int32]   = "TakeTwo"
	uploadErrors hubwire.ClientStream[int32, string]  = "UploadErrors"
	mixed        hubwire.Method[mixedArgs, string]    = "Mixed"
	mirror       hubwire.BidiStream[int32, int32]     = "Mirror"

	toAll           hubwire.Command[string]       = "ToAll"
	toAllExcept     hubwire.Command[listArgs]     = "ToAllExcept"
	toOthers        hubwire.Command[string]       = "ToOthers"
	toCaller        hubwire.Command[string]       = "ToCaller"
	toClient        hubwire.Command[pair]         = "ToClient"
	toClients       hubwire.Command[listArgs]     = "ToClients"
	toGroup         hubwire.Command[pair]         = "ToGroup"
	toGroups        hubwire.Command[listArgs]     = "ToGroups"
	toGroupExcept   hubwire.Command[exceptArgs]   = "ToGroupExcept"
	toOthersInGroup hubwire.Command[pair]         = "ToOthersInGroup"
	toUser          hubwire.Command[pair]         = "ToUser"
	toUsers         hubwire.Command[listArgs]     = "ToUsers"
	toCallerMany    hubwire.Command[int32]        = "ToCallerMany"
	toCallerArgs    hubwire.Command[hubwire.None] = "ToCallerArgs"
	addTo           hubwire.Command[string]       = "AddTo"
	removeFrom      hubwire.Command[string]       = "RemoveFrom"
	addOther        hubwire.Command[pair]         = "AddOther"
	removeOther     hubwire.Command[pair]         = "RemoveOther"

	receive hubwire.Event[string]                 = "Receive"
	many    hubwire.Event[manyArgs]               = "Many"
	gone    hubwire.Event[goneArgs]               = "Gone"
	answer  hubwire.ClientMethod[string, *string] = "Answer"
)

type (
	joinArgs struct {
		hubwire.Args
		A string
		B int32
		C bool
	}
	itemArgs struct {
		hubwire.Args
		Key, Value string
	}
	pair struct {
		hubwire.Args
		To, M string
	}
	listArgs struct {
		hubwire.Args
		To []string
		M  string
	}
	exceptArgs struct {
		hubwire.Args
		Group string
		IDs   []string
		M     string
	}
	slowlyArgs struct {
		hubwire.Args
		N, Ms int32
	}
	mixedArgs struct {
		hubwire.Args
		Prefix string
		A      hubwire.Stream[int32]
		Suffix string
		B      hubwire.Stream[string]
	}
	manyArgs struct {
		hubwire.Args
		S    string
		N    int32
		B    bool
		Null *string
		P    person
	}
	goneArgs struct {
		hubwire.Args
		ID    string
		Error *string
	}
)
