using System.Text;
using Leither.Ipfs.Blockstore;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Log;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Log;

/// <summary>
/// Random lives of a log on a simulated disk: entries of all sizes, failing and full disks, kills and losses of power, clean ends, checkpoints.
/// After each, what comes back must be a prefix of what was written that holds all that was synced (after a kill: all that was written).
/// In half of them segments are sealed: the chain is then unbroken from the first entry on, its nodes and data are what their names say, and every
/// node that a version linked to is in it for good.
/// </summary>
public sealed class LogSimulationTests
{
    [Fact]
    public void What_comes_back_is_a_prefix_and_holds_everything_synced_whatever_fails() =>
        RunSeeds(Seed.IsLong ? 20_000 : 400, faults: true, power: true);

    [Fact]
    public void Without_faults_a_kill_loses_nothing_written() => RunSeeds(Seed.IsLong ? 5_000 : 150, faults: false, power: false);

    [Fact]
    public void Without_faults_a_loss_of_power_loses_nothing_synced() => RunSeeds(Seed.IsLong ? 5_000 : 150, faults: false, power: true);

    /// <summary>A segment below the checkpoint had its groups back that were cut off it, or a file that had been written again was back.</summary>
    [Theory]
    [InlineData(1682998758)]
    [InlineData(1598418431)]
    [InlineData(645910531)]
    [InlineData(196)]
    [InlineData(1123378152)]
    public void A_life_in_which_a_version_once_lost_its_segment_keeps_it(int seed) => new Life(seed, faults: true, power: true).Run();

    /// <summary>All up to the checkpoint was trimmed, and a loss of power took the segment behind it, which was never synced, and left the one after that.</summary>
    [Theory]
    [InlineData(339973659)]
    [InlineData(606672609)] // of a tail that had been written again
    public void A_life_that_lost_the_unsynced_beginning_of_its_log_goes_on_behind_the_checkpoint(int seed) => new Life(seed, faults: true, power: true).Run();

    private static void RunSeeds(int count, bool faults, bool power) =>
        Seed.RunLives(count, $"faults {faults}, power {power}", seed => new Life(seed, faults, power));

    private sealed unsafe class Life : ISeededLife
    {
        private readonly Random _random;
        private readonly SimulatedDisk _disk;
        private readonly bool _faults, _power;
        private readonly LogWorker _worker = LogWorker.Manual();
        private readonly LogOptions _options;
        private readonly StringBuilder _story = new();

        // Entry n at [n - 1]; and what must come back.
        private readonly List<byte[]> _entries = [];
        private ulong _mustHave, _synced, _checkpoint, _checkpointEpoch, _epoch;
        private long _now;

        // What versions linked to: the node of the segment in which an entry ends.
        private readonly Dictionary<ulong, Cid> _linked = [];

        public Life(int seed, bool faults, bool power)
        {
            _random = new Random(seed);
            _disk = new SimulatedDisk(_random.Next());
            (_faults, _power) = (faults, power);
            _options = SimulatedLog.Options(_random, _worker);
            if (_random.Next(2) != 0) _options = _options with { Origin = new SegmentOrigin(LeitherId.Of("MiMei"u8), new byte[32]) };
        }

        public string Story => _story.ToString();

        public void Run()
        {
            Tell($"segments {_options.SegmentBytes}, {_options.Fsync}, retained {_options.RetainedTailBytes}");
            int lives = _random.Next(2, 7);
            for (int i = 0; i < lives; i++)
            {
                WriteLog? log = null;
                try
                {
                    if (_random.Next(5) == 0) _disk.OperationsLeft = _random.Next(40);
                    log = TryOpen();
                    if (log is null)
                    {
                        Crash(null);
                        continue;
                    }
                    _disk.OperationsLeft = _random.Next(3) == 0 ? _random.Next(300) : int.MaxValue;
                    int steps = _random.Next(120);
                    for (int step = 0; step < steps; step++) Step(log);
                    if (_random.Next(3) == 0) CloseWell(log);
                    else Crash(log);
                }
                catch (SimulatedDisk.ProcessEndedException)
                {
                    Tell("ended in the middle of an operation");
                    Crash(log);
                }
            }
            Heal();
            using WriteLog last = TryOpen()!;
            Assert.NotNull(last);
            CheckChain(last);
            Append(last);
            last.Cut();
            Link(last);
            CheckChain(last);
        }

        /// <summary>What a version does: it cuts the log, and links to the node of its last entry's segment.</summary>
        private void Link(WriteLog log)
        {
            ulong sequence = log.LastSequence;
            try
            {
                if (log.Seal(sequence) is not { } made)
                {
                    // The entry's segment was trimmed before it was ever sealed: that cannot be.
                    Assert.True(log.Chain is null || sequence == 0, $"no node of entry {sequence}");
                    return;
                }

                _linked[sequence] = made.Cid;
                Tell($"linked {sequence}: {made.Node.From}+{made.Node.Offset} to {made.Node.To}");
            }
            catch (IOException e)
            {
                Tell($"not linked: {e.Message}");
                if (!_faults) throw;
            }
        }

        private void CheckChain(WriteLog log)
        {
            _worker.Run();
            if (log.Chain is not { } chain) return;
            Assert.Null(log.SealError);
            Assert.Empty(chain.Damage);
            SealedSegment? before = null;
            foreach (SealedSegment segment in chain.Segments)
            {
                Assert.Equal(before?.Cid ?? default, segment.Node.Previous);
                Assert.True(before is null ? segment.Node.From == 1 : segment.Node.From == before.Node.To + 1, $"{segment.Node.From} after {before?.Node.To}");
                Assert.Equal(segment.Node.Encode(), chain.Get(segment.Cid));
                bool isThere = log.Segments.Any(s => s.Name == segment.FileName);
                Assert.Equal(isThere, chain.Has(segment.Node.Data));
                if (isThere) Assert.Equal(segment.Length, chain.Get(segment.Node.Data)!.Length);
                before = segment;
            }
            foreach ((ulong sequence, Cid cid) in _linked)
            {
                SealedSegment? found = chain.Find(sequence);
                Assert.True(found?.Cid == cid, $"the node of entry {sequence} is {found?.Node.From} to {found?.Node.To}");
            }
            foreach (SegmentDescription segment in log.Segments)
            {
                if (segment.IsFinished && segment.Length > 160) Assert.Contains(chain.Segments, s => s.FileName == segment.Name);
            }
        }

        private WriteLog? TryOpen()
        {
            var replayed = new List<byte[]>();
            WriteLog log;
            try
            {
                log = WriteLog.Open(_disk, _options, new Position(_checkpointEpoch, _checkpoint), (sequence, entry, length) =>
                {
                    Assert.Equal(_checkpoint + (ulong)replayed.Count + 1, sequence);
                    replayed.Add(new ReadOnlySpan<byte>(entry, (int)length).ToArray());
                });
            }
            catch (DiskException e)
            {
                Tell($"open failed: {e.Message}");
                if (!_faults) throw;
                return null;
            }
            Tell($"opened: {log.Recovery}; files {string.Join(' ', _disk.Names)}");
            ulong last = log.LastSequence;
            Assert.True(last >= _mustHave, $"{last} recovered, {_mustHave} were safe");
            Assert.True(last <= (ulong)_entries.Count || last == _checkpoint, $"{last} recovered, {_entries.Count} written");
            Assert.Equal((int)(last - _checkpoint), replayed.Count);
            for (int i = 0; i < replayed.Count; i++)
            {
                Assert.True(replayed[i].AsSpan().SequenceEqual(_entries[(int)_checkpoint + i]), $"entry {_checkpoint + (ulong)i + 1} differs");
            }
            if (!log.Recovery.CleanEnd) Assert.True(log.Epoch > _epoch, $"epoch {log.Epoch} after an unclean end of {_epoch}");
            else Assert.True(log.Epoch >= _epoch);
            _epoch = log.Epoch;
            _entries.RemoveRange((int)last, _entries.Count - (int)last);
            _mustHave = _synced = last;
            return log;
        }

        private void Step(WriteLog log)
        {
            switch (_random.Next(26))
            {
                case < 12:
                    Append(log);
                    break;
                case < 16:
                    log.Flush();
                    if (log.State is LogState.Open or LogState.Full && _options.Fsync != FsyncPolicy.Always) Assert.Equal(log.LastSequence, log.WrittenSequence);
                    if (log.State == LogState.Open && log.Fsync == FsyncPolicy.Always) Assert.Equal(log.LastSequence, log.AcknowledgeableSequence);
                    break;
                case < 19:
                    _worker.Run();
                    break;
                case < 21:
                    log.Tick(_now += 20);
                    break;
                case 21:
                    if (log.WaitSynced(log.LastSequence)) Assert.Equal(log.LastSequence, log.SyncedSequence);
                    break;
                case 22:
                    if (_random.Next(3) == 0)
                    {
                        log.WaitSynced(log.LastSequence);
                        if (log.SyncedSequence >= _checkpoint) (_checkpoint, _checkpointEpoch) = (log.SyncedSequence, log.Epoch);
                        log.DropThrough(_checkpoint, _random.Next(4) == 0 ? 0 : _random.Next(20_000));
                        Tell($"checkpoint {_checkpoint}");
                    }
                    break;
                case 23:
                    log.Cut();
                    if (_random.Next(3) != 0) Link(log);
                    break;
                case 24:
                    if (!_faults && _random.Next(4) == 0) CheckChain(log);
                    break;
                default:
                    if (_faults) Tell(_disk.ChangeWeather(_random));
                    break;
            }
            _synced = Math.Max(_synced, log.SyncedSequence);
        }

        private void Append(WriteLog log)
        {
            int size = SimulatedLog.EntryBytes(_random);
            if (!log.CanAccept(size, out LogError error))
            {
                Tell($"refused: {error.Text}");
                return;
            }
            byte[] body = new byte[size];
            if (_random.Next(2) == 0) _random.NextBytes(body);
            else body.AsSpan(0, size * _random.Next(5) / 4 is var n && n <= size ? n : size).Fill((byte)'v');
            ulong time = (ulong)_random.NextInt64();
            if (_random.Next(10) == 0 && size < log.MaxReserveBytes / 2)
            {
                log.Begin(time);
                log.Write(body);
                if (log.CanAbandon) log.Abandon();
                else NoteAndEnd();
                return;
            }
            log.Begin(time);
            int done = 0;
            while (done < size)
            {
                int count = Math.Min(size - done, _random.Next(1, 5000));
                if (count <= log.MaxReserveBytes && _random.Next(2) == 0)
                {
                    body.AsSpan(done, count).CopyTo(new Span<byte>(log.Reserve(count), count));
                    log.Commit(count);
                }
                else log.Write(body.AsSpan(done, count));
                done += count;
                if (_random.Next(20) == 0) log.Flush();
                if (_random.Next(20) == 0) _worker.Run();
            }
            NoteAndEnd();

            void NoteAndEnd()
            {
                byte[] entry = new byte[10 + size];
                entry[0] = 1;
                BitConverter.TryWriteBytes(entry.AsSpan(2), time);
                body.CopyTo(entry, 10);
                _entries.Add(entry); // first: the process may end while it ends
                log.End();
                Assert.Equal((ulong)_entries.Count, log.LastSequence);
            }
        }

        private void Heal()
        {
            Tell("healed");
            _disk.Heal();
        }

        private void CloseWell(WriteLog log)
        {
            bool healed = _random.Next(2) == 0;
            if (healed) Heal();
            try
            {
                log.Close();
                _mustHave = _synced = log.LastSequence;
                Assert.Equal(log.LastSequence, (ulong)_entries.Count);
                Tell("closed");
                if (_power && _random.Next(2) == 0) _disk.LosePower();
                else _disk.Kill();
            }
            catch (DiskException e)
            {
                // Read back is what can fail for good: of what a failed sync lost, too much had been let go from memory.
                Assert.True(!healed || e.Message.Contains("gone"), e.Message);
                Tell($"close failed: {e.Message}");
                Crash(null);
            }
        }

        private void Crash(WriteLog? log)
        {
            if (log is not null) _synced = Math.Max(_synced, log.SyncedSequence);
            if (_power && _random.Next(2) == 0)
            {
                _mustHave = _synced;
                _disk.LosePower();
                log?.Dispose();
                Tell($"power lost, {_mustHave} synced");
            }
            else
            {
                if (log is not null) _mustHave = Math.Max(_mustHave, log.WrittenSequence);
                _disk.Kill();
                log?.Dispose();
                Tell($"killed, {_mustHave} written");
            }
            if (_random.Next(2) == 0) Heal();
        }

        private void Tell(string what) => _story.Append(what).Append('\n');
    }
}
