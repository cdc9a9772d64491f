package signalr_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/hubwire/hubwire/signalr"
)

// The guides have what people search for, and every option.
func TestDocs(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile("../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	migrate := read("migrate-from-aspnetcore.md")
	for f := range reflect.TypeFor[signalr.Options]().Fields() {
		if !strings.Contains(migrate, f.Name+"`") {
			t.Errorf("migrate-from-aspnetcore.md does not have %s", f.Name)
		}
	}
	for _, name := range []string{
		"HandshakeTimeout", "KeepAliveInterval", "ClientTimeoutInterval", "MaximumReceiveMessageSize", "EnableDetailedErrors", "StreamBufferCapacity",
		"MaximumParallelInvocationsPerClient", "SupportedProtocols", "DisableImplicitFromServicesParameters", "StatefulReconnectBufferSize", "AddFilter",
		"Transports", "AuthorizationData", "TransportMaxBufferSize", "ApplicationMaxBufferSize", "MinimumProtocolVersion", "TransportSendTimeout",
		"CloseOnAuthenticationExpiration", "AllowStatefulReconnects", "WebSockets.CloseTimeout", "WebSockets.SubProtocolSelector", "LongPolling.PollTimeout", "ConnectionOptions.DisconnectTimeout",
	} {
		if !strings.Contains(migrate, "`"+name+"`") {
			t.Errorf("migrate-from-aspnetcore.md does not have %s", name)
		}
	}
	trouble := read("troubleshooting.md")
	for _, text := range []string{
		"## No Connection with that ID", "## Server timeout elapsed without receiving a message", "## The maximum message size of 32768B was exceeded", "## WebSocket closed with status code: 1006",
		"host refused: it is not among AllowedHosts",
		"its connection has ended, or was not opened within 15s of the negotiation", "this is a connectionId; since negotiateVersion 1 requests want the connectionToken",
		"it was negotiated with another server than", "which shares no TokenKey with", "it belongs to another user, another hub, or to this server before it started anew",
		"no middleware makes a user of it", "a client polls though it was offered WebSockets", "a proxy on the way does not let WebSockets pass", "the origin of its page is not among AllowedOrigins",
		"no WebSocket of its was seen", "This hub has: json.", "memberships end with their connection", "WriteTimeout ends event streams and polls",
		"the access_token in the query is not read for this request", "the connection cannot be taken over",
	} {
		if !strings.Contains(trouble, text) {
			t.Errorf("troubleshooting.md does not have %q", text)
		}
	}
}
