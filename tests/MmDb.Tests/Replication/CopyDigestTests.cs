// What the differential fuzzer and everything else draws on the writer leads to the writer's data on a copy: by DEBUG DIGEST, by state CID, and element by element.

using Leither.MmDb.Configuration;
using Leither.MmDb.Tests.Versions;
using Leither.RedisCompat;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Replication;

public sealed class CopyDigestTests : IDisposable
{
    private readonly VersionFixture _writer = new();
    private readonly CopyFixture _copy;

    public CopyDigestTests() => _copy = new CopyFixture(_writer);

    public void Dispose()
    {
        _copy.Dispose();
        _writer.Dispose();
    }

    [Fact]
    public void All_kinds_of_commands_lead_to_the_same_digest() => Seed.Run(random =>
    {
        InProcess writer = _writer.Db;
        for (int round = Seed.IsLong ? 60 : 6; round > 0; round--)
        {
            for (int i = 0; i < 150; i++)
            {
                foreach (string[] command in WriterCommands.Draw(random))
                {
                    writer.Default.Send(CommandGenerator.Bytes(command));
                    while (writer.Default.TakeReply() is not null)
                    {
                    }
                }

                switch (random.Next(20))
                {
                    case 0:
                        // What is over goes by the writer's word, sooner or later.
                        writer.Clock.Advance(random.Next(3000));
                        writer.Server.Cron(writer.Clock.NowMs);
                        writer.Server.EndTurn();
                        break;
                    case 1:
                        _copy.Follow(random.Next(2) == 0 ? random.Next(1, 500) : int.MaxValue);
                        break;
                    case 2 when random.Next(10) == 0:
                        _copy.Reopen(isClean: random.Next(2) == 0);
                        break;
                }
            }

            writer.Clock.Advance(10_000);
            while (writer.Server.Cron(writer.Clock.NowMs) == 0)
            {
            }

            writer.Server.EndTurn();
            _copy.Follow();
            _copy.Db.Clock.Advance(writer.Clock.NowMs - _copy.Db.Clock.NowMs);
            _copy.AssertSame();
            Assert.Equal(Digest(writer), Digest(_copy.Db));
            Assert.Equal(Libraries(writer), Libraries(_copy.Db));
        }
    });

    /// <summary>All functions, in an order of their own.</summary>
    private static string Libraries(InProcess db)
    {
        db.Default.Send(["FUNCTION"u8.ToArray(), "LIST"u8.ToArray(), "WITHCODE"u8.ToArray()]);
        return string.Join('\n', db.Default.TakeReply()!.Elements.Select(InProcess.Show).Order(StringComparer.Ordinal));
    }

    private static string Digest(InProcess db)
    {
        db.Server.Settings.Put(ConfigKeys.EnableDebugCommand, 1);
        string digest = db.Run("DEBUG DIGEST");
        Assert.StartsWith("+", digest, StringComparison.Ordinal);
        return digest;
    }
}
