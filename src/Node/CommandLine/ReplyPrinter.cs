using System.Globalization;
using System.Text;
using Leither.Resp;

namespace Leither.Node.CommandLine;

/// <summary>
/// Replies as redis-cli prints them: to a terminal with types, numbers and quotes, for people; into a pipe the bare values, for programs.
/// </summary>
internal static class ReplyPrinter
{
    /// <summary>Writes a reply.</summary>
    public static void Print(RespReply reply, Stream output, bool forPeople)
    {
        if (forPeople)
        {
            StringBuilder text = new();
            Format(text, reply, "");
            output.Write(Encoding.UTF8.GetBytes(text.ToString()));
        }
        else
        {
            WriteBare(output, reply);
            output.Write("\n"u8);
        }

        output.Flush();
    }

    private static void Format(StringBuilder text, RespReply reply, string indent)
    {
        switch (reply.Type)
        {
            case var _ when reply.IsNull:
                text.Append("(nil)\n");
                break;
            case RespType.Array or RespType.Map or RespType.Set or RespType.Push:
                FormatElements(text, reply, indent);
                break;
            case RespType.Integer:
                text.Append(CultureInfo.InvariantCulture, $"(integer) {reply.Integer}\n");
                break;
            case RespType.Error or RespType.BulkError:
                text.Append("(error) ").Append(reply.Text).Append('\n');
                break;
            case RespType.BulkString:
                text.Append(Quote(reply.Bytes)).Append('\n');
                break;
            default:
                text.Append(reply.Text).Append('\n');
                break;
        }
    }

    private static void FormatElements(StringBuilder text, RespReply reply, string indent)
    {
        if (reply.Elements.Count == 0)
        {
            text.Append(reply.Type switch
            {
                RespType.Map => "(empty hash)\n",
                RespType.Set => "(empty set)\n",
                _ => "(empty array)\n",
            });
            return;
        }

        int width = reply.Elements.Count.ToString(CultureInfo.InvariantCulture).Length;
        string inner = indent + new string(' ', width + 2);
        for (int i = 0; i < reply.Elements.Count; i++)
        {
            // The first element stands behind its parent's number, so only the others are indented.
            text.Append(i == 0 ? "" : indent);
            text.Append((i + 1).ToString(CultureInfo.InvariantCulture).PadLeft(width)).Append(") ");
            Format(text, reply.Elements[i], inner);
        }
    }

    /// <summary>Bytes in quotes, what is no printable ASCII escaped.</summary>
    public static string Quote(ReadOnlySpan<byte> bytes)
    {
        StringBuilder quoted = new("\"");
        foreach (byte b in bytes)
        {
            _ = b switch
            {
                (byte)'\\' or (byte)'"' => quoted.Append('\\').Append((char)b),
                (byte)'\n' => quoted.Append("\\n"),
                (byte)'\r' => quoted.Append("\\r"),
                (byte)'\t' => quoted.Append("\\t"),
                (byte)'\a' => quoted.Append("\\a"),
                (byte)'\b' => quoted.Append("\\b"),
                >= (byte)' ' and <= (byte)'~' => quoted.Append((char)b),
                _ => quoted.Append(CultureInfo.InvariantCulture, $"\\x{b:x2}"),
            };
        }

        return quoted.Append('"').ToString();
    }

    private static void WriteBare(Stream output, RespReply reply)
    {
        if (reply.IsNull)
        {
            return;
        }

        switch (reply.Type)
        {
            case RespType.Array or RespType.Map or RespType.Set or RespType.Push:
                for (int i = 0; i < reply.Elements.Count; i++)
                {
                    if (i > 0)
                    {
                        output.Write("\n"u8);
                    }

                    WriteBare(output, reply.Elements[i]);
                }

                break;
            case RespType.Integer:
                output.Write(Encoding.ASCII.GetBytes(reply.Integer.ToString(CultureInfo.InvariantCulture)));
                break;
            default:
                output.Write(reply.Bytes);
                break;
        }
    }
}
