using Leither.MmDb.Log;
using Leither.MmDb.Versions;

namespace Leither.MmDb.Replication;

// From a copy to what is written here, and the other way round, while sessions stay.
public sealed unsafe partial class MimeiCopy
{
    private sealed class PromoteWork(MimeiCopy copy, ulong epoch, Action<Exception?> done) : Work(copy)
    {
        public override Next Step(long deadline)
        {
            Mimei mimei = Copy._mimei;
            if (mimei.Versions is { MayWrite: false })
            {
                Fail(new CopyException($"MiMei {mimei.Id} has another author, and no certificate of his is here that lets this node write"));
                return Next.Over;
            }

            if (Copy._problem is { } problem)
            {
                Fail(new CopyException(problem));
                return Next.Over;
            }

            if (Copy.IsApartFromLog)
            {
                // Its disk gave up entries that were applied.
                Fail(new LogUndoneException(new Position(Copy.Log.LastPosition.Epoch, Copy.Log.LastSequence + 1), Copy.Applied.Sequence));
                return Next.Over;
            }

            // (Who asks for the state all the time only puts it off: what was asked for and let go of is made afterwards.)
            Copy._checkpointer?.Yield();
            mimei.Versions?.Yield();
            if (Copy._keyspace.Snapshot is not null || mimei.Versions is { IsUnderWay: true })
            {
                return Next.Look;
            }

            try
            {
                mimei.Log = Copy.Log.Promote(epoch);
                CopyFile.Delete(Copy._files.Folder);
                Copy._keyspace.Effects.RecordTo(mimei.Log, new HybridClock(Copy._keyspace.Effects.LastTime));
                Copy._keyspace.IsWriter = true;
                mimei.Copy = null;
            }
            catch (IOException e)
            {
                Fail(e);
                return Next.Over;
            }

            Copy.Call(() =>
            {
                Copy.Close($"MiMei {mimei.Id} is written here now");
                done(null);
            });
            return Next.Over;
        }

        public override void Fail(Exception problem) => Copy.Call(() => done(problem));
    }

    /// <summary>
    /// Makes a MiMei that is written here a copy, since somebody else writes it now. Sessions stay; those that wait for something to take are told.
    /// What it wrote and the new writer does not have is undone by <see cref="GoBack"/> afterwards. Its log has to be known (<see cref="Mimei.Files"/>). (Any thread.)
    /// </summary>
    /// <param name="mimei">The MiMei, loaded.</param>
    /// <param name="keepsFork">Whether what it holds now is kept first as a MiMei of its own.</param>
    /// <param name="done">The fork, if there is one (<see cref="Mimei.Copy"/> is there from now on), or what went wrong; then it is written here as before. On the loop thread.</param>
    public static void Demote(Mimei mimei, bool keepsFork, Action<MimeiRecord?, Exception?> done)
    {
        Server server = mimei.Server!;
        if (server.Post is { } post)
        {
            post(() => new Demotion(mimei, server, done).Begin(keepsFork));
        }
        else
        {
            new Demotion(mimei, server, done).Begin(keepsFork);
        }
    }

    private sealed class Demotion(Mimei mimei, Server server, Action<MimeiRecord?, Exception?> done)
    {
        private const int LookAgainMs = 2;

        public void Begin(bool keepsFork)
        {
            if (mimei.Copy is not null || mimei.Log is null || mimei.Files is null)
            {
                done(null, new CopyException($"MiMei {mimei.Id} is not written here with a log"));
                return;
            }

            lock (mimei.Gate)
            {
                mimei.IsFenced = true;
                foreach (Session session in server.Sessions.Values.ToArray())
                {
                    if (session.Blocked is not null && session.Mimei == mimei)
                    {
                        server.Blocking.Fail(session, "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"u8);
                    }
                }

                if (mimei == server.DefaultMimei)
                {
                    server.Replication.CloseReplicas();
                }

                mimei.Log.Flush();
                if (keepsFork && mimei.Versions is { } versions && mimei.Files.Store is { } store)
                {
                    KeepFork(versions, store);
                    return;
                }
            }

            Sync(null);
        }

        /// <summary>What was written here so far becomes a MiMei of its own, so that it can be looked at whatever becomes of it.</summary>
        private void KeepFork(Versioner versions, IMimeiStore store)
        {
            IDisposable pin = versions.Pin();
            versions.MakeState((state, problem) =>
            {
                if (state is null)
                {
                    pin.Dispose();
                    Fail(problem!);
                    return;
                }

                server.RunAside(
                    () => VersionFork.Make(store, versions, default, state.State, server.NowMs),
                    (fork, problem) =>
                    {
                        pin.Dispose();
                        if (fork is null)
                        {
                            Fail(problem!);
                            return;
                        }

                        server.Mimeis.Add(fork);
                        mimei.Files!.Report($"MiMei {mimei.Id} is written elsewhere now. What it held here at entry {state.Position} is MiMei {fork.Id}");
                        Sync(fork);
                    });
            });
        }

        private void Sync(MimeiRecord? fork)
        {
            WriteLog log = mimei.Log!;
            server.RunAside(
                () => log.Sync(log.WrittenSequence) ? true : throw new IOException($"the log of MiMei {mimei.Id} could not be made durable"),
                (_, problem) =>
                {
                    if (problem is not null)
                    {
                        Fail(problem);
                    }
                    else
                    {
                        Turn(fork);
                    }
                });
        }

        private void Turn(MimeiRecord? fork)
        {
            try
            {
                lock (mimei.Gate)
                {
                    if (mimei.Versions is { IsMakingVersion: true })
                    {
                        // The last one of its own; none is begun any more.
                        LookAgain(fork);
                        return;
                    }

                    (mimei.Checkpointer as Checkpoints.Checkpointer)?.Yield();
                    mimei.Versions?.Yield();
                    if (mimei.Keyspace.Snapshot is not null || mimei.Versions is { IsUnderWay: true })
                    {
                        LookAgain(fork);
                        return;
                    }

                    WriteLog log = mimei.Log!;
                    MimeiFiles files = mimei.Files!;
                    Position position = log.LastPosition;
                    ulong time = mimei.Keyspace.Effects.LastTime;
                    CopyFile.Create(files.Folder);
                    log.Dispose();
                    mimei.Keyspace.Effects.RecordTo(null, new HybridClock(time));
                    mimei.Log = WriteLog.OpenCopy(files.Log, files.LogOptions, position, null);
                    _ = new MimeiCopy(mimei, files, position);
                    mimei.IsFenced = false;
                }
            }
            catch (IOException e)
            {
                done(fork, e);
                return;
            }

            done(fork, null);
        }

        private void LookAgain(MimeiRecord? fork)
        {
            if (server.Post is { } post)
            {
                _ = Task.Delay(LookAgainMs).ContinueWith(_ => post(() => Turn(fork)), TaskScheduler.Default);
            }
            else
            {
                done(fork, new CopyException($"a snapshot of MiMei {mimei.Id} is under way"));
            }
        }

        private void Fail(Exception problem)
        {
            mimei.IsFenced = false;
            done(null, problem);
        }
    }
}
